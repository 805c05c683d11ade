// The peak of this machine at this moment, for bench/peers: a line of JSON for every line read,
//   {"conv": GFLOP/s, "conv_type": "bf16", "registers": GFLOP/s, "loop": "avx512_bf16"}
// conv: a 3x3 convolution, 320 channels, 64x64, batch 2, channels-last, the best rate that networks
// of this kind can hope for. registers: a loop that touches no memory, with the widest instructions
// for such products that the processor has; it shows how fast the matrix unit is clocked, whatever
// libraries do. Both are of bf16 where the processor multiplies bf16 numbers. Elsewhere they are of
// f32: a convolution in bf16 would convert its numbers and be far below the peak.
//   bench_peers_probe [--threads 2] [--seconds 0.15]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/options.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Each loop runs `rounds` rounds of twelve products that do not wait for each other and returns the
// operations of a round, multiplications and additions. They are written in assembly because a
// compiler would keep some of the sums in memory. All numbers are 0.
// clang-format off
#define PANGU_TWELVE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
// clang-format on
constexpr double kChains = 12;

__attribute__((target("avx512f,avx512bf16"))) double run_avx512_bf16(int64_t rounds) {
#define PANGU_CLEAR(I) "vpxorq %%zmm" #I ", %%zmm" #I ", %%zmm" #I "\n\t"
#define PANGU_PRODUCT(I) "vdpbf16ps %%zmm15, %%zmm15, %%zmm" #I "\n\t"
  asm volatile(PANGU_TWELVE(PANGU_CLEAR) PANGU_CLEAR(15)
               "1:\n\t" PANGU_TWELVE(PANGU_PRODUCT) "dec %0\n\t"
               "jnz 1b"
               : "+r"(rounds)
               :
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm15");
#undef PANGU_CLEAR
#undef PANGU_PRODUCT
  return kChains * 16 * 2 * 2;
}

__attribute__((target("avx512f"))) double run_avx512_f32(int64_t rounds) {
#define PANGU_CLEAR(I) "vpxorq %%zmm" #I ", %%zmm" #I ", %%zmm" #I "\n\t"
#define PANGU_PRODUCT(I) "vfmadd231ps %%zmm15, %%zmm15, %%zmm" #I "\n\t"
  asm volatile(PANGU_TWELVE(PANGU_CLEAR) PANGU_CLEAR(15)
               "1:\n\t" PANGU_TWELVE(PANGU_PRODUCT) "dec %0\n\t"
               "jnz 1b"
               : "+r"(rounds)
               :
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm15");
#undef PANGU_CLEAR
#undef PANGU_PRODUCT
  return kChains * 16 * 2;
}

__attribute__((target("avx2,fma"))) double run_avx2(int64_t rounds) {
#define PANGU_CLEAR(I) "vpxor %%ymm" #I ", %%ymm" #I ", %%ymm" #I "\n\t"
#define PANGU_PRODUCT(I) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #I "\n\t"
  asm volatile(PANGU_TWELVE(PANGU_CLEAR) PANGU_CLEAR(15)
               "1:\n\t" PANGU_TWELVE(PANGU_PRODUCT) "dec %0\n\t"
               "jnz 1b"
               : "+r"(rounds)
               :
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm15");
#undef PANGU_CLEAR
#undef PANGU_PRODUCT
  return kChains * 8 * 2;
}

// Tiles of 16 rows of 64 bytes: four sums, two left and two right factors.
__attribute__((target("amx-tile,amx-bf16"))) double run_amx(int64_t rounds) {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shape;
  // _tile_loadconfig of g++ 12 tells the compiler that it reads eight bytes, and the others are
  // never stored.
  asm volatile("ldtilecfg %0" : : "m"(shape));
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t round = 0; round < rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4.0 * 2 * 16 * 16 * 32;
}

struct RegisterLoop {
  std::string name;
  double (*run)(int64_t rounds);
  bool multiplies_bf16;
};

// Linux lets a process use AMX only after it asked (Documentation/arch/x86/xstate.rst).
bool amx_is_granted() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool cpu_flag(const std::string& flag) {
  FILE* file = std::fopen("/proc/cpuinfo", "r");
  if (!file) return false;
  char* line = nullptr;
  size_t size = 0;
  bool found = false;
  while (!found && getline(&line, &size, file) > 0) {
    found = std::string(line).starts_with("flags") &&
            std::string(line).find(" " + flag) != std::string::npos;
  }
  std::free(line);
  std::fclose(file);
  return found;
}

RegisterLoop best_loop() {
  if (cpu_flag("amx_bf16") && amx_is_granted()) return {"amx_bf16", run_amx, true};
  if (cpu_flag("avx512_bf16")) return {"avx512_bf16", run_avx512_bf16, true};
  if (cpu_flag("avx512f")) return {"avx512_f32", run_avx512_f32, false};
  return {"avx2_f32", run_avx2, false};
}

double register_gflops(const RegisterLoop& loop, int threads, double seconds) {
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> workers;
  for (double& rate : rates) {
    workers.emplace_back([&rate, &loop, seconds] {
      constexpr int64_t kRounds = 20000;
      double done = 0;
      const auto start = Clock::now();
      while (seconds_since(start) < seconds) done += kRounds * loop.run(kRounds);
      rate = 1e-9 * done / seconds_since(start);
    });
  }
  for (auto& worker : workers) worker.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// The reference convolution. The median of its repetitions: one that was disturbed says nothing of
// the machine's state.
class Convolution {
 public:
  explicit Convolution(at::ScalarType type) {
    x_ = at::randn({2, 320, 64, 64}).to(type).contiguous(at::MemoryFormat::ChannelsLast);
    weight_ = at::randn({320, 320, 3, 3}).to(type).contiguous(at::MemoryFormat::ChannelsLast);
    run();
  }
  double gflops(double seconds) const {
    std::vector<double> times;
    const auto start = Clock::now();
    while (times.size() < 3 || seconds_since(start) < seconds) {
      const auto begun = Clock::now();
      run();
      times.push_back(seconds_since(begun));
    }
    std::nth_element(times.begin(), times.begin() + long(times.size()) / 2, times.end());
    return 1e-9 * kOperations / times[times.size() / 2];
  }

 private:
  static constexpr double kOperations = 2.0 * 320 * 320 * 9 * 64 * 64 * 2;
  void run() const { at::conv2d(x_, weight_, {}, {1, 1}, {1, 1}); }
  at::Tensor x_, weight_;
};

}  // namespace

int main(int argc, char** argv) {
  int threads = 2;
  double seconds = 0.15;
  CLI::App app;
  app.add_option("--threads", threads);
  app.add_option("--seconds", seconds);
  if (const auto code = pangu::bench::stop_code(app, argc, argv)) return *code;
  at::set_num_threads(threads);
  const RegisterLoop loop = best_loop();
  const Convolution convolution(loop.multiplies_bf16 ? at::kBFloat16 : at::kFloat);
  for (std::string line; std::getline(std::cin, line);) {
    const double registers = register_gflops(loop, threads, seconds / 3);
    const nlohmann::json told = {{"conv", convolution.gflops(seconds)},
                                 {"conv_type", loop.multiplies_bf16 ? "bf16" : "f32"},
                                 {"registers", registers},
                                 {"loop", loop.name}};
    std::cout << told.dump() << std::endl;
  }
  return 0;
}

// Executes the tile instructions of AMX (Intel SDM, volume 2) where the processor refuses them, as
// their encodings in memory say. So the kernels of the level kAmx run unchanged on processors
// without tiles, an instruction in about a microsecond. It knows what kernels/tiles.h uses.
#include <doctest/doctest.h>
#include <ucontext.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/bf16.h"
#include "kernels/packed_product.h"

namespace pangu::kernels {
namespace {

// What the tile instructions keep. A signal's handler finds it by all_tiles().
struct TileState {
  uint8_t configuration[64];
  uint8_t tiles[8][16][64];
  int64_t executed;

  int64_t rows(unsigned tile) const { return configuration[48 + tile]; }
  int64_t row_bytes(unsigned tile) const { return configuration[16 + 2 * tile]; }
};

TileState& all_tiles() {
  static TileState state = {};
  return state;
}

// An instruction with a three-byte VEX prefix.
struct Instruction {
  unsigned map, prefix, opcode, mod, reg, rm, second_source;
  int64_t address = 0, stride = 0;  // of its memory
  int64_t length = 0;
};

int64_t register_of(const ucontext_t& context, unsigned number) {
  constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                             REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kPlaces[number]];
}

// Reads the memory operand behind the bytes of opcode and ModRM.
void read_memory_operand(const uint8_t* code, const ucontext_t& context, unsigned base_high,
                         unsigned index_high, Instruction& i) {
  unsigned base = i.rm | base_high;
  const bool has_sib = i.rm == 4;
  if (has_sib) {
    const unsigned sib = code[i.length++], index = ((sib >> 3) & 7) | index_high;
    base = (sib & 7) | base_high;
    if (index != 4) i.stride = register_of(context, index) * (int64_t{1} << (sib >> 6));
  }
  const bool no_base = i.mod == 0 && (base & 7) == 5;
  const bool by_instruction = no_base && !has_sib;
  if (!no_base) i.address = register_of(context, base);
  int32_t wide = 0;
  if (i.mod == 1) {
    i.address += static_cast<int8_t>(code[i.length++]);
  } else if (i.mod == 2 || no_base) {
    std::memcpy(&wide, code + i.length, sizeof wide);
    i.length += 4;
    i.address += wide;
  }
  if (by_instruction) i.address += reinterpret_cast<int64_t>(code) + i.length;
}

// False if it is none of a three-byte VEX prefix.
bool decode(const uint8_t* code, const ucontext_t& context, Instruction& i) {
  if (code[0] != 0xc4) return false;
  i.map = code[1] & 31, i.prefix = code[2] & 3, i.opcode = code[3];
  i.second_source = (~code[2] >> 3) & 15;
  i.mod = code[4] >> 6, i.reg = (code[4] >> 3) & 7, i.rm = code[4] & 7;
  i.length = 5;
  if (i.mod == 3) return true;
  read_memory_operand(code, context, code[1] & 0x20 ? 0 : 8, code[1] & 0x40 ? 0 : 8, i);
  return true;
}

float number_at(const uint8_t (&tile)[16][64], int64_t row, int64_t at) {
  uint16_t bits = 0;
  std::memcpy(&bits, tile[row] + 2 * at, sizeof bits);
  return from_bf16(bits);
}

void dot(TileState& s, unsigned c, unsigned a, unsigned b) {
  for (int64_t i = 0; i < s.rows(c); ++i) {
    for (int64_t k = 0; k < s.row_bytes(a) / 4; ++k) {
      for (int64_t n = 0; n < s.row_bytes(c) / 4; ++n) {
        float sum = 0;
        std::memcpy(&sum, s.tiles[c][i] + 4 * n, sizeof sum);
        sum += number_at(s.tiles[a], i, 2 * k) * number_at(s.tiles[b], k, 2 * n);
        sum += number_at(s.tiles[a], i, 2 * k + 1) * number_at(s.tiles[b], k, 2 * n + 1);
        std::memcpy(s.tiles[c][i] + 4 * n, &sum, sizeof sum);
      }
    }
  }
}

// False if it is no instruction that is known, or one that the processor would refuse.
bool execute(TileState& s, const Instruction& i) {
  enum { kNone, k66, kF3, kF2 };
  const bool memory = i.mod != 3, configured = s.configuration[0] == 1;
  void* const address = reinterpret_cast<void*>(i.address);
  if (i.map != 2) return false;
  if (i.opcode == 0x49 && i.prefix == kNone) {  // LDTILECFG, TILERELEASE
    std::memset(s.tiles, 0, sizeof s.tiles);
    memory ? std::memcpy(s.configuration, address, 64) : std::memset(s.configuration, 0, 64);
    return s.configuration[0] <= 1;
  }
  if (i.opcode == 0x49 && i.prefix == k66 && memory) {  // STTILECFG
    std::memcpy(address, s.configuration, 64);
    return true;
  }
  if (!configured) return false;
  if (i.opcode == 0x49 && i.prefix == kF2 && !memory) {  // TILEZERO
    std::memset(s.tiles[i.reg], 0, sizeof s.tiles[i.reg]);
    return true;
  }
  if (i.opcode == 0x4b && memory && (i.prefix == kF2 || i.prefix == kF3)) {
    for (int64_t row = 0; row < s.rows(i.reg); ++row) {
      auto* at = static_cast<uint8_t*>(address) + row * i.stride;
      uint8_t* tile = s.tiles[i.reg][row];
      const auto bytes = static_cast<size_t>(s.row_bytes(i.reg));
      i.prefix == kF2 ? std::memcpy(tile, at, bytes) : std::memcpy(at, tile, bytes);
    }
    return true;  // TILELOADD, TILESTORED
  }
  if (i.opcode != 0x5c || i.prefix != kF3 || memory) return false;
  dot(s, i.reg, i.rm, i.second_source);  // TDPBF16PS
  return i.second_source < 8;
}

void on_illegal_instruction(int, siginfo_t*, void* at) {
  auto& context = *static_cast<ucontext_t*>(at);
  const auto* code = reinterpret_cast<const uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
  Instruction instruction = {};
  if (!decode(code, context, instruction) || !execute(all_tiles(), instruction)) std::abort();
  ++all_tiles().executed;
  context.uc_mcontext.gregs[REG_RIP] += instruction.length;
}

class TileEmulator {
 public:
  // Takes over SIGILL until it is destroyed. REQUIRES: one at a time.
  TileEmulator() {
    all_tiles() = {};
    struct sigaction ours = {};
    ours.sa_sigaction = on_illegal_instruction;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGILL, &ours, &before_);
  }
  ~TileEmulator() { sigaction(SIGILL, &before_, nullptr); }
  TileEmulator(const TileEmulator&) = delete;
  TileEmulator& operator=(const TileEmulator&) = delete;

  // How many instructions it has executed.
  int64_t executed() const { return all_tiles().executed; }

 private:
  struct sigaction before_ = {};
};

struct Numbers {
  explicit Numbers(int64_t count) : kept(static_cast<size_t>(count)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (uint16_t& number : kept) number = to_bf16(normal(random));
  }
  std::vector<uint16_t> kept;
};

struct alignas(64) Line {
  uint16_t numbers[32];
};

std::vector<uint16_t> attention_at(Level level, int64_t keys, int64_t width) {
  constexpr int64_t kQueries = 37, kHeads = 2;
  const Numbers q(kQueries * kHeads * width), k(keys * kHeads * width), v(keys * kHeads * width);
  std::vector<uint16_t> out(q.kept.size());
  AttentionProblem p;
  p.batch = 1, p.heads = kHeads, p.queries = kQueries, p.keys = keys, p.width = width;
  p.q = q.kept.data(), p.k = k.kept.data(), p.v = v.kept.data(), p.out = out.data();
  p.q_row = p.k_row = p.v_row = kHeads * width;
  p.scale = 0.3f;
  std::vector<Line> packed(static_cast<size_t>(attention_packed_size(p, level) / 32 + 1));
  attention_pack(p, packed[0].numbers, 0, attention_pack_tasks(p), level);
  attention_run(p, packed[0].numbers, 0, attention_run_tasks(p, level), level);
  return out;
}

std::vector<uint16_t> product_at(Level level, int64_t kernel, int64_t inputs) {
  ProductProblem p;
  p.weights = {.outputs = 50, .high = kernel, .wide = kernel, .inputs = inputs, .level = level};
  p.height = 3, p.width = 19, p.padding = kernel / 2;
  const Numbers x(p.height * p.width * inputs), weights(50 * kernel * kernel * inputs);
  std::vector<uint16_t> out(static_cast<size_t>(p.out_pixels() * 50));
  std::vector<Line> packed(static_cast<size_t>(product_packed_size(p.weights) / 32 + 1));
  product_pack(p.weights, weights.kept.data(), packed[0].numbers, 0, product_pack_tasks(p.weights));
  p.packed = packed[0].numbers, p.x = x.kept.data(), p.x_pixel = inputs;
  p.out = out.data(), p.out_pixel = 50;
  product_run(p, 0, product_tasks(p));
  return out;
}

}  // namespace
}  // namespace pangu::kernels

using namespace pangu::kernels;

TEST_CASE(
    "the tile instructions, executed as they are encoded, give what the written-out ones do") {
  if (!machine_has(Level::kAmxEmulated) || machine_has(Level::kAmx)) return;
  const TileEmulator emulator;
  for (const auto& [keys, width] : {std::pair<int64_t, int64_t>{300, 40}, {77, 64}, {5, 6}}) {
    CAPTURE(keys);
    CHECK(attention_at(Level::kAmx, keys, width) == attention_at(Level::kAmxEmulated, keys, width));
  }
  for (const auto& [kernel, inputs] : {std::pair<int64_t, int64_t>{1, 64}, {3, 40}, {1, 1100}}) {
    CAPTURE(inputs);
    CHECK(product_at(Level::kAmx, kernel, inputs) ==
          product_at(Level::kAmxEmulated, kernel, inputs));
  }
  CHECK(emulator.executed() > 1000);
}

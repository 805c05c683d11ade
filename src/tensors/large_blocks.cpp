#include "tensors/large_blocks.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <list>
#include <mutex>
#include <new>
#include <unordered_map>

namespace pangu::tensors {
namespace {

constexpr size_t kPageBytes = 4096;

struct FreeBlock {
  void* data;
  size_t size;
};

class LargeBlocks final : public c10::Allocator {
 public:
  explicit LargeBlocks(size_t most_kept) : most_kept_(most_kept) {}

  c10::DataPtr allocate(size_t bytes) override {
    void* const data = bytes < kLargeBlock ? small_.raw_allocate(bytes) : take(rounded(bytes));
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    unmap_down_to(0);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  // To an eighth of the greatest power of two in it, so that blocks of nearly one size serve each
  // other.
  static size_t rounded(size_t bytes) {
    size_t step = kPageBytes;
    while (step * 16 <= bytes) step *= 2;
    return (bytes + step - 1) / step * step;
  }

  void* take(size_t size) {
    const std::lock_guard lock(mutex_);
    // The least that is large enough, the latest of these, and at most twice as large: the rest of
    // it would be nobody's.
    auto found = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block) {
      if (block->size < size || block->size > 2 * size) continue;
      if (found == free_.end() || block->size < found->size) found = block;
    }
    if (found != free_.end()) {
      void* const data = found->data;
      kept_ -= found->size;
      used_[data] = found->size;
      free_.erase(found);
      return data;
    }
    void* const data =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    // Pages of 2 MiB take a hundredth of the faults. Advice: that it is not taken changes nothing.
    ::madvise(data, size, MADV_HUGEPAGE);
    used_[data] = size;
    return data;
  }

  // The latest blocks are in front, which are the likeliest to lie in a cache.
  void give_back(void* data, size_t size) {
    free_.push_front({data, size});
    kept_ += size;
    unmap_down_to(most_kept_);
  }

  void unmap_down_to(size_t most) {
    while (kept_ > most) {
      const FreeBlock oldest = free_.back();
      free_.pop_back();
      kept_ -= oldest.size;
      ::munmap(oldest.data, oldest.size);
    }
  }

  // Large blocks begin with a page; of the small ones few do.
  static void release(void* data) {
    if (reinterpret_cast<size_t>(data) % kPageBytes == 0 && data) {
      const std::lock_guard lock(instance->mutex_);
      if (const auto used = instance->used_.find(data); used != instance->used_.end()) {
        const size_t size = used->second;
        instance->used_.erase(used);
        instance->give_back(data, size);
        return;
      }
    }
    instance->small_.raw_deallocate(data);
  }

 public:
  // Tensors in static variables are freed after everything else, so it is never destroyed.
  static inline LargeBlocks* instance = nullptr;

 private:
  c10::Allocator& small_ = *c10::GetDefaultCPUAllocator();
  const size_t most_kept_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::list<FreeBlock> free_;
  size_t kept_ = 0;  // bytes in free_
};

}  // namespace

void keep_large_blocks(size_t most_kept) {
  LargeBlocks::instance = new LargeBlocks(most_kept);
  c10::SetCPUAllocator(LargeBlocks::instance, /*priority=*/1);
}

void let_go_of_kept_blocks() {
  if (LargeBlocks::instance) LargeBlocks::instance->let_go();
}

}  // namespace pangu::tensors

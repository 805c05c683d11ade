// Folders of checkpoints: what processes write together is read back, one replaces another in one
// step, and what is broken is told.
#include "train/checkpoint.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <filesystem>

#include "core/testing.h"
#include "io/safetensors.h"
#include "io/sharded_safetensors.h"
#include "tensors/safetensors.h"

using namespace pangu;
using namespace pangu::train;
namespace fs = std::filesystem;

namespace {

const std::atomic<bool> kGoesOn = false;

at::Tensor weights(double at_0) { return at::arange(35, at::kFloat).view({5, 7}) + at_0; }

// Of two processes: elements [0, 17) and [17, 35) of "w"; a scalar and bytes of the second.
CheckpointNote save(const std::string& folder, int64_t step, double at_0 = 0) {
  CheckpointNote note;
  note.step = step;
  note.train_seconds = 1.5;
  note.cpu_seconds = 2.5;
  note.fingerprint = "{}";
  note.id = new_checkpoint_id();
  const at::Tensor w = weights(at_0);
  const auto lazy = [](const at::Tensor& t) {
    return LazyTensor{t.scalar_type(), t.sizes().vec(), [t] { return t; }};
  };
  std::vector<std::vector<StatePart>> parts;
  for (const FlatPart part : {FlatPart{0, 17}, FlatPart{17, 35}}) {
    parts.push_back(
        parts_of_range("w", lazy(flat_view(w).slice(0, part.begin, part.end)), w, part));
  }
  parts[1].push_back({"scalar", {}, lazy(at::scalar_tensor(3.0))});
  parts[1].push_back({"bytes", io::whole_box({3}), lazy(at::arange(3).to(at::kByte))});
  const std::vector<int> counts = {file_count(parts[0]), 0, file_count(parts[1])};
  write_parts(folder, note, 0, counts, parts[0], kGoesOn);
  write_parts(folder, note, 2, counts, parts[1], kGoesOn);
  commit_checkpoint(folder, note, counts);
  return note;
}

std::string refused(const std::string& folder) {
  return refusal_of([&] { load_checkpoint(folder + "/checkpoint"); });
}

int folders_in(const std::string& folder) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    count += entry.is_directory() && !entry.is_symlink();
  }
  return count;
}

}  // namespace

TEST_CASE("what several processes wrote is one state, also for those that read a box of it") {
  const TestFolder folder;
  CHECK(!checkpoint_in(folder.path));
  CHECK(!load_checkpoint(folder.file("checkpoint")));
  save(folder.path, 7);
  REQUIRE(checkpoint_in(folder.path) == folder.file("checkpoint"));
  const auto c = load_checkpoint(folder.file("checkpoint"));
  REQUIRE(c);
  CHECK(c->step == 7);
  CHECK(c->train_seconds == 1.5);
  CHECK(c->cpu_seconds == 2.5);
  CHECK(c->fingerprint == "{}");
  CHECK(checkpoint_note(folder.file("checkpoint"))->id == c->id);
  const auto all = made(whole_of(c->tensors));
  REQUIRE(all.size() == 3);
  CHECK(at::equal(all.at("w"), weights(0)));
  CHECK(at::equal(all.at("scalar"), at::scalar_tensor(3.0)));
  CHECK(at::equal(all.at("bytes"), at::arange(3).to(at::kByte)));
  at::Tensor box = at::zeros({2, 3});
  c->tensors.at("w").read({{2, 1}, {2, 3}}, box);
  CHECK(at::equal(box, weights(0).slice(0, 2, 4).slice(1, 1, 4)));
}

TEST_CASE("a new one takes the place of the last, of an old single file and of half-written ones") {
  const TestFolder folder;
  tensors::save_safetensors(folder.file("checkpoint.safetensors"), {{"w", weights(9)}},
                            {{"step", "3"}, {"train_seconds", "1.250000"}, {"fingerprint", "{}"}});
  REQUIRE(checkpoint_in(folder.path) == folder.file("checkpoint.safetensors"));
  const auto old = load_checkpoint(folder.file("checkpoint.safetensors"));
  REQUIRE(old);
  CHECK(old->step == 3);
  CHECK(at::equal(whole_of(old->tensors.at("w")).make(), weights(9)));
  save(folder.path, 4, 1);
  CHECK(!fs::exists(folder.file("checkpoint.safetensors")));
  const auto before = load_checkpoint(folder.file("checkpoint"));
  // Of a process that was killed while it wrote.
  folder.write(
      "checkpoint-00000005-0123456789ab/shard-00001-model-00001-of-00001.safetensors.tmp-1",
      std::string("half"));
  fs::create_directories(folder.file("checkpoint-of-mine"));
  tidy_checkpoints(folder.path);
  CHECK(folders_in(folder.path) == 2);
  save(folder.path, 6, 2);
  CHECK(folders_in(folder.path) == 2);
  CHECK(fs::exists(folder.file("checkpoint-of-mine")));
  CHECK(at::equal(whole_of(load_checkpoint(folder.file("checkpoint"))->tensors.at("w")).make(),
                  weights(2)));
  // Whoever has opened the last one still reads it.
  CHECK(at::equal(whole_of(before->tensors.at("w")).make(), weights(1)));
  remove_checkpoint(folder.path);
  CHECK(!checkpoint_in(folder.path));
  CHECK(folders_in(folder.path) == 1);
}

TEST_CASE("a copy without links is taken as it is, and gets its link when a run goes on") {
  const TestFolder folder, copy;
  const CheckpointNote note = save(folder.path, 4);
  fs::copy(folder.file("checkpoint") + "/", copy.file("checkpoint"));
  REQUIRE(!fs::is_symlink(copy.file("checkpoint")));
  CHECK(load_checkpoint(copy.file("checkpoint"))->step == 4);
  tidy_checkpoints(copy.path);
  CHECK(fs::is_symlink(copy.file("checkpoint")));
  CHECK(fs::is_directory(checkpoint_folder(copy.path, note)));
  CHECK(load_checkpoint(copy.file("checkpoint"))->step == 4);
  save(copy.path, 5);
  CHECK(load_checkpoint(copy.file("checkpoint"))->step == 5);
  CHECK(folders_in(copy.path) == 1);
  // The folder is gone, the link is left.
  fs::remove_all(fs::canonical(copy.file("checkpoint")));
  CHECK(contains(refusal_of([&] { checkpoint_in(copy.path); }), "--fresh"));
}

TEST_CASE("missing, foreign and broken files of a checkpoint are told by name") {
  const TestFolder folder, other;
  save(other.path, 8);
  const auto shard = [](const TestFolder& of, const char* name) {
    return of.file(std::string("checkpoint/shard-") + name + ".safetensors");
  };
  const auto again = [&] {
    remove_checkpoint(folder.path);
    save(folder.path, 4);
  };
  again();
  CHECK(refused(folder.path) == "accepted");
  fs::remove(shard(folder, "00003-model-00002-of-00002"));
  CHECK(contains(refused(folder.path), "no 'shard-00003-model-00002-of-00002.safetensors'"));
  again();
  fs::copy_file(shard(other, "00003-model-00002-of-00002"),
                shard(folder, "00003-model-00002-of-00002"), fs::copy_options::overwrite_existing);
  const std::string mixed = refused(folder.path);
  CHECK(contains(mixed, "shard-00003-model-00002-of-00002"));
  CHECK(contains(mixed, "step 4"));
  CHECK(contains(mixed, "step 8"));
  again();
  fs::copy_file(shard(folder, "00001-model-00001-of-00002"),
                folder.file("checkpoint/more.safetensors"));
  CHECK(contains(refused(folder.path), "'more.safetensors' too"));
  again();
  fs::resize_file(shard(folder, "00001-model-00001-of-00002"), 300);
  CHECK(contains(refused(folder.path), "shard-00001-model-00001-of-00002"));
  again();
  for (const auto& entry : fs::directory_iterator(folder.file("checkpoint"))) fs::remove(entry);
  CHECK(contains(refused(folder.path), "safetensors files"));
  // A file without what a training writes, in a folder and alone.
  const io::Metadata plain = io::sharding_metadata({{"w", {0, 0}}});
  tensors::save_safetensors(folder.file("checkpoint/model.safetensors"), {{"w", weights(0)}},
                            plain);
  CHECK(contains(refused(folder.path), "metadata 'checkpoint_id'"));
  CHECK(at::equal(whole_of(stored_tensors(folder.file("checkpoint")).at("w")).make(), weights(0)));
  remove_checkpoint(folder.path);
  for (const char* step : {"-1", "", "x", "1e3", "99999999999999999999"}) {
    tensors::save_safetensors(folder.file("checkpoint.safetensors"), {{"w", weights(0)}},
                              {{"step", step}, {"train_seconds", "1"}, {"fingerprint", "{}"}});
    CHECK(contains(refusal_of([&] { load_checkpoint(folder.file("checkpoint.safetensors")); }),
                   "'step'"));
  }
}

TEST_CASE("what came from elsewhere becomes the run's checkpoint") {
  const TestFolder folder, other;
  save(folder.path, 4);
  const CheckpointNote note = save(other.path, 9);
  const std::string name = fs::path(checkpoint_folder("", note)).filename().string();
  fs::copy(other.file(name), folder.file(name));
  adopt_checkpoint(folder.path, name + "/shard-00003-model-00002-of-00002.safetensors");
  CHECK(load_checkpoint(folder.file("checkpoint"))->step == 9);
  CHECK(folders_in(folder.path) == 1);
  CHECK_THROWS_AS(adopt_checkpoint(folder.path, "metrics.html"), Error);
  tensors::save_safetensors(folder.file("checkpoint.safetensors"), {{"w", weights(0)}},
                            {{"step", "2"}, {"train_seconds", "1"}, {"fingerprint", "{}"}});
  adopt_checkpoint(folder.path, "checkpoint.safetensors");
  CHECK(checkpoint_in(folder.path) == folder.file("checkpoint.safetensors"));
  CHECK(folders_in(folder.path) == 0);
}

TEST_CASE("files that are not all there are not put in place") {
  const TestFolder folder;
  const CheckpointNote note = save(folder.path, 4);
  CheckpointNote next = note;
  next.step = 5;
  write_parts(folder.path, next, 0, {1, 1}, {}, kGoesOn);
  try {
    commit_checkpoint(folder.path, next, {1, 1});
    FAIL("committed");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    CHECK(contains(error.what(), "one output_dir"));
  }
  CHECK(load_checkpoint(folder.file("checkpoint"))->step == 4);
}

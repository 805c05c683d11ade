// A checkpoint is a folder of safetensors files in which processes have each written a part: the
// optimiser's tensors and, as metadata, the number of steps done. All randomness of training is a
// function of (seed, step), so nothing else is needed to go on bit for bit. The layout is that of
// torch.distributed.checkpoint (io/sharded_safetensors.h). OUTPUT_DIR/checkpoint is a link to the
// folder of the last checkpoint that is whole, OUTPUT_DIR/checkpoint-STEP-ID. Earlier versions
// wrote one file, OUTPUT_DIR/checkpoint.safetensors, which is still read.
#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/state_parts.h"

namespace pangu::train {

// What a checkpoint says beside its tensors; all of its files say the same.
struct CheckpointNote {
  int64_t step = 0;          // optimiser steps done
  double train_seconds = 0;  // spent so far, over all runs
  double cpu_seconds = 0;    // of all threads; 0 also for files from before these were counted
  std::string fingerprint;   // of what must not change between runs; see train/fingerprint.h
  uint64_t id = 0;           // of this writing of it, below 2^48; 0: of a file of earlier versions
};

struct Checkpoint : CheckpointNote {
  StoredTensors tensors;  // they read out of mapped files, which may be replaced meanwhile
};

// The folder or file of a run's checkpoint; none if there is none.
std::optional<std::string> checkpoint_in(const std::string& output_dir);

// None if there is no such folder or file. Error kBadInput if there is a broken one, or if a file
// of it is missing, of another checkpoint or none of its own.
std::optional<Checkpoint> load_checkpoint(const std::string& path);
// What load_checkpoint() reads of it, of any sharded safetensors and any one file. Error kIo,
// kBadInput.
StoredTensors stored_tensors(const std::string& path);
// What a checkpoint says; whether it is whole is not looked at.
std::optional<CheckpointNote> checkpoint_note(const std::string& path);

// Random.
uint64_t new_checkpoint_id();

// OUTPUT_DIR/checkpoint-STEP-ID, under which the files of a new one are written.
std::string checkpoint_folder(const std::string& output_dir, const CheckpointNote& note);

// How many files these parts take: a file has one box of a tensor.
int file_count(const std::vector<StatePart>& parts);

// Writes a process's files into checkpoint_folder(), which is made if need be. file_counts: of all
// processes. A part is let go of when it is written. Ends early, with no error, once `stops` is
// true. Error kIo (disk full, ...).
void write_parts(const std::string& output_dir, const CheckpointNote& note, int rank,
                 const std::vector<int>& file_counts, std::vector<StatePart> parts,
                 const std::atomic<bool>& stops);

// Makes it the run's checkpoint, in one step, once all files are there, and removes the one before.
// Error kIo; kIo also where a file is not seen here.
void commit_checkpoint(const std::string& output_dir, const CheckpointNote& note,
                       const std::vector<int>& file_counts);

// Makes the one that came into OUTPUT_DIR as the file `name`, in the folder that
// checkpoint_folder() named or an old single file, the run's checkpoint. Error kBadInput if it is
// none.
void adopt_checkpoint(const std::string& output_dir, const std::string& name);

// If OUTPUT_DIR/checkpoint is a folder itself, as a copy made without links has it, it gets a name
// of its own and a link to it. Error kIo.
void link_copied_checkpoint(const std::string& output_dir);

// A run that begins: the same, and removes what runs left that were ended while they wrote. Error
// kIo where the file system has no links.
void tidy_checkpoints(const std::string& output_dir);

// Removes the run's checkpoint.
void remove_checkpoint(const std::string& output_dir);

// Writes named f32 tensors in `dtype`, atomically.
void write_weights(const std::string& path, const std::map<std::string, at::Tensor>& weights,
                   at::ScalarType dtype);

}  // namespace pangu::train

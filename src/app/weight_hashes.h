// The digits by which A1111's web UI and Civitai tell a file of weights apart, for "Model hash" and
// "Lora hashes" of a picture. A checkpoint of gigabytes takes many seconds, so that it is hashed
// while the picture is drawn, and remembered in $XDG_CACHE_HOME/pangu-draw/sha256.json (or below
// ~/.cache) by path, size and time of the last change.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace pangu::app {

class WeightHashes {
 public:
  // Begins with this file; nothing for a folder, which has no such hash.
  explicit WeightHashes(const std::string& model_path);
  ~WeightHashes();  // stops hashing
  WeightHashes(const WeightHashes&) = delete;
  WeightHashes& operator=(const WeightHashes&) = delete;

  // Waiting for a hash ends when this says so.
  void stop_when(std::function<bool()> wants_stop) { wants_stop_ = std::move(wants_stop); }
  // SHA-256 of the file; empty for a folder, and where it could not be had.
  std::string model();
  // SHA-256 of its tensors (io::sha256_of_tensors); empty if it cannot be read.
  std::string lora(const std::string& path);

 private:
  void hash_model(const std::stop_token& stop);

  std::string path_;
  std::function<bool()> wants_stop_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<std::string> model_;  // once it is known
  std::map<std::string, std::string> loras_;
  std::jthread thread_;  // the last member: it uses the others
};

}  // namespace pangu::app

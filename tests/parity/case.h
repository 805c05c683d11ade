// Helpers of parity tests: a dump that a Python script makes once, and the worst difference of many
// tensors, printed as one line.
#pragma once
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "io/mapped_file.h"
#include "nn/weights.h"
#include "reference.h"

namespace pangu::parity {

// A folder filled by a script of tools/parity, removed at the end. Without a Python that has
// `module` nothing is made, and the test says so loudly.
class Dump {
 public:
  Dump(const std::string& module, const std::string& script)
      : folder_(std::filesystem::temp_directory_path() /
                ("pangu_" + script + "_" + std::to_string(getpid()))) {
    if (!python_has(module)) {
      std::printf("SKIPPED: %s, because %s cannot import %s\n", script.c_str(), python().c_str(),
                  module.c_str());
      MESSAGE("SKIPPED: needs a Python with " << module << " (set PANGU_PYTHON)");
      return;
    }
    std::filesystem::create_directories(folder_);
    made_ = run_tool(script, folder_.string());
    CHECK_MESSAGE(made_, script << " failed");
  }
  Dump(const Dump&) = delete;
  Dump& operator=(const Dump&) = delete;
  ~Dump() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  bool made() const { return made_; }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  bool made_ = false;
};

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

inline const std::string& page() {
  static const std::string text =
      io::read_text_file(std::string(kSourceDir) + "/docs/parity.md", size_t{1} << 20);
  return text;
}

// True if docs/parity.md has a row of this case; a count in brackets at the end of its name may
// differ.
inline bool on_the_page(const std::string& name) {
  const size_t begin = name.starts_with("picture: ") ? name.find(' ') + 1 : 0;
  const size_t end = name.ends_with(")") ? name.rfind(" (") : name.size();
  const std::string row = "| " + name.substr(begin, end - begin);
  return page().find(row + " |") != std::string::npos ||
         page().find(row + " (") != std::string::npos;
}

// Prints one line, which tools/parity_page.py turns into a row of docs/parity.md; `listed` is false
// for cases that only run by hand.
inline void report(const std::string& name, double error, double bound, bool listed = true) {
  std::printf("parity  %-48s error %.2e  bound %.3g\n", name.c_str(), error, bound);
  std::fflush(stdout);
  CHECK_MESSAGE(error <= bound, name);  // false for NaN too
  CHECK_MESSAGE((!listed || on_the_page(name)), "docs/parity.md does not list '", name,
                "'; tools/parity_page.py writes it");
}

// The greatest relative difference of several tensors, and the tensor that has it.
class Worst {
 public:
  void add(const std::string& name, const at::Tensor& got, const at::Tensor& want) {
    REQUIRE_MESSAGE(got.defined(), name << " was not computed");
    REQUIRE_MESSAGE(got.sizes() == want.sizes(), name << " has another shape");
    const double difference = relative(got.to(at::kFloat), want.to(at::kFloat));
    ++count_;
    if (!(difference <= error_)) {
      error_ = difference;
      name_ = name;
    }
  }
  void report(const std::string& what, double bound, bool listed = true) const {
    CHECK(count_ > 0);
    INFO("worst: " << name_);
    parity::report(what + " (" + std::to_string(count_) + " tensors)", error_, bound, listed);
  }

 private:
  double error_ = 0;
  std::string name_;
  size_t count_ = 0;
};

// Compares "layer/NAME" of a dump with the output that the model reported as NAME; both sides must
// have the same names.
inline void compare_layers(const nn::TensorMap& dump, const nn::TensorMap& outputs, Worst& worst) {
  size_t layers = 0;
  for (const auto& [key, want] : dump) {
    if (!key.starts_with("layer/")) continue;
    const auto found = outputs.find(key.substr(6));
    REQUIRE_MESSAGE(found != outputs.end(), key << " is not reported by the model");
    worst.add(key, found->second, want);
    ++layers;
  }
  CHECK(layers == outputs.size());
}

}  // namespace pangu::parity

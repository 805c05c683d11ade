// What parity tests share: a Python that has the reference libraries, and the difference of two
// tensors.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/testing.h"

namespace pangu::parity {

// The value of $PANGU_PYTHON, else the interpreter that CMake was given.
inline std::string python() {
  const char* from_environment = std::getenv("PANGU_PYTHON");
  return from_environment ? from_environment : kReferencePython;
}

inline bool python_has(const std::string& module) {
  return std::system((python() + " -c 'import " + module + "' 2>/dev/null").c_str()) == 0;
}

// Runs a script of tools/parity; true if it exits with 0.
inline bool run_tool(const std::string& script, const std::string& arguments) {
  return std::system((python() + " " + kSourceDir + "/tools/parity/" + script + " " + arguments +
                      " >/dev/null 2>&1")
                         .c_str()) == 0;
}

// The greatest difference divided by the greatest magnitude of the wanted values.
inline double relative(const at::Tensor& got, const at::Tensor& want) {
  const double scale = std::max(want.abs().max().item<double>(), 1e-12);
  return (got - want).abs().max().item<double>() / scale;
}

}  // namespace pangu::parity

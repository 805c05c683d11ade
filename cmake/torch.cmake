# libtorch out of the Python wheel, and the precompiled headers that the torch rooms share.
# The wheel is found by path: its own TorchConfig.cmake demands a CUDA toolkit for a CUDA build, and
# importing torch in Python costs seconds and packages that libtorch itself does not need.
set(PANGU_TORCH_ROOT "" CACHE PATH "Folder `torch` of an unpacked wheel (default: that of PANGU_PYTHON)")
if(NOT PANGU_PYTHON)
  find_program(PANGU_PYTHON NAMES python3 REQUIRED)
endif()
set(torch_root ${PANGU_TORCH_ROOT})
if(NOT torch_root)
  execute_process(COMMAND ${PANGU_PYTHON} -c "import sysconfig; print(sysconfig.get_path('platlib'))"
                  OUTPUT_VARIABLE torch_root OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(APPEND torch_root /torch)
endif()
if(NOT EXISTS ${torch_root}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "libtorch: expected ${torch_root}/lib/libtorch_cpu.so, found no such file.\n"
                      "Hint: run ./pangu-draw once, it installs the pinned wheel; or pass -DPANGU_PYTHON=.")
endif()
file(STRINGS ${torch_root}/version.py torch_version REGEX "^__version__")
string(REGEX REPLACE ".*'(.*)'.*" "\\1" torch_version "${torch_version}")
message(STATUS "libtorch ${torch_version}: ${torch_root}")
if(torch_version VERSION_LESS 2.11)
  message(FATAL_ERROR "libtorch: expected 2.11 to 2.13, found ${torch_version}")
endif()

add_library(pangu_torch INTERFACE)
target_include_directories(pangu_torch SYSTEM INTERFACE
                           ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
# As the wheel was built: torch/csrc/distributed changes with them.
target_compile_definitions(pangu_torch INTERFACE USE_C10D_GLOO USE_DISTRIBUTED USE_RPC USE_TENSORPIPE)
# libtorch_cuda registers itself when it is loaded, nothing names it: it must not be dropped. Without it,
# a CUDA wheel serves the CPU and needs none of NVIDIA's large libraries.
option(PANGU_CUDA "Link the CUDA half of a CUDA build of libtorch" ON)
set(torch_libs torch_cpu c10)
if(PANGU_CUDA AND EXISTS ${torch_root}/lib/libtorch_cuda.so)
  list(APPEND torch_libs torch_cuda c10_cuda)
endif()
# OpenMP's runtime for our own kernels is that of libtorch: a process must have one.
if(EXISTS ${torch_root}/lib/libgomp.so.1)
  target_link_libraries(pangu_torch INTERFACE ${torch_root}/lib/libgomp.so.1)
else()
  target_link_libraries(pangu_torch INTERFACE gomp)
endif()
target_link_options(pangu_torch INTERFACE -Wl,--no-as-needed)
foreach(lib ${torch_libs})
  target_link_libraries(pangu_torch INTERFACE ${torch_root}/lib/lib${lib}.so)
endforeach()

# Two precompiled headers: most units need tensors only, which cost each of them half of what torch::nn costs.
# The compiler's bytes differ from folder to folder; for ccache (CCACHE_PCH_EXTSUM) it is what went in that counts.
function(pangu_precompiled target)
  add_library(${target} OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
  target_link_libraries(${target} PUBLIC pangu_flags pangu_torch nlohmann_json::nlohmann_json Threads::Threads)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/CMakeFiles/${target}.dir/cmake_pch.hxx.gch.sum
       "libtorch ${torch_version}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${ARGN}\n")
endfunction()
pangu_precompiled(pangu_pch <torch/types.h> <nlohmann/json.hpp>)
pangu_precompiled(pangu_pch_nn <torch/types.h> <torch/nn.h> <nlohmann/json.hpp>)

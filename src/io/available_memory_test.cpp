// What the kernel and control groups say, out of files written for the test.
#include "io/available_memory.h"

#include <doctest/doctest.h>

#include "core/testing.h"

using namespace pangu;

TEST_CASE("the machine's estimate counts where no group limits this process") {
  const TestFolder root;
  CHECK(io::available_memory(root.path) == 0);
  root.write("proc/meminfo", std::string("MemTotal: 900 kB\nMemAvailable:   500 kB\n"));
  CHECK(io::available_memory(root.path) == 500 * 1024);
  root.write("proc/self/cgroup", std::string("0::/a/b\n"));
  root.write("sys/fs/cgroup/a/memory.max", std::string("max\n"));
  root.write("sys/fs/cgroup/a/memory.current", std::string("4000\n"));
  CHECK(io::available_memory(root.path) == 500 * 1024);
  CHECK(io::available_memory() > 0);
}

TEST_CASE("a group of either version limits it, without its cached files, and a group above too") {
  const TestFolder root;
  root.write("proc/meminfo", std::string("MemAvailable: 500 kB\n"));
  root.write("proc/self/cgroup", std::string("4:memory:/x\n0::/a/b\n"));
  root.write("sys/fs/cgroup/a/b/memory.max", std::string("10000\n"));
  root.write("sys/fs/cgroup/a/b/memory.current", std::string("4000\n"));
  root.write("sys/fs/cgroup/a/b/memory.stat", std::string("anon 7\ninactive_file 1000\n"));
  CHECK(io::available_memory(root.path) == 7000);
  root.write("sys/fs/cgroup/a/memory.max", std::string("9000\n"));
  root.write("sys/fs/cgroup/a/memory.current", std::string("9500\n"));
  CHECK(io::available_memory(root.path) == 0);
  root.write("sys/fs/cgroup/a/memory.current", std::string("1\n"));
  // As a container of version 1 sees its group.
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::string("300\n"));
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::string("200\n"));
  CHECK(io::available_memory(root.path) == 100);
}

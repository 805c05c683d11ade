#include "io/file_claims.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "core/testing.h"

using namespace pangu;
using pangu::io::FileClaims;

TEST_CASE("a piece is claimed by one at a time, others are free") {
  const TestFolder folder;
  FileClaims one(folder.file("claims")), other(folder.file("claims"));
  CHECK(one.try_claim(7));
  CHECK(!other.try_claim(7));
  CHECK(other.try_claim(8));
  one.release(7);
  CHECK(other.try_claim(7));
}

TEST_CASE("the claims of a process that is killed end with it") {
  const TestFolder folder;
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    FileClaims claims(folder.file("claims"));
    claims.claim(3);
    const char done = '1';
    if (::write(pipe[1], &done, 1) == 1) ::pause();
    ::_exit(1);
  }
  char done = 0;
  REQUIRE(::read(pipe[0], &done, 1) == 1);
  FileClaims claims(folder.file("claims"));
  CHECK(!claims.try_claim(3));
  ::kill(child, SIGKILL);
  claims.claim(3);  // waits for the end of the child
  ::waitpid(child, nullptr, 0);
  CHECK(claims.try_claim(3));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

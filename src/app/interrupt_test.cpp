#include "app/interrupt.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace pangu::app {
namespace {

TEST_CASE("The first Ctrl-C is remembered, and the handler is gone with the question") {
  std::signal(SIGINT, SIG_DFL);  // doctest has one of its own
  {
    const Interrupt interrupt;
    CHECK_FALSE(interrupt.wanted());
    std::raise(SIGINT);
    CHECK(interrupt.wanted());
    CHECK(interrupt.exit_code() == 130);
  }
  struct sigaction now{};
  sigaction(SIGINT, nullptr, &now);
  CHECK((now.sa_handler == SIG_DFL));
  CHECK_FALSE(Interrupt().wanted());
}

TEST_CASE("A second Ctrl-C ends the process at once") {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    const Interrupt interrupt;
    std::raise(SIGINT);
    std::raise(SIGINT);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
}

TEST_CASE("A signal that the process was told to ignore stays ignored") {
  std::signal(SIGINT, SIG_IGN);
  {
    const Interrupt interrupt;
    std::raise(SIGINT);
    CHECK_FALSE(interrupt.wanted());
  }
  struct sigaction now{};
  sigaction(SIGINT, nullptr, &now);
  CHECK((now.sa_handler == SIG_IGN));
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace
}  // namespace pangu::app

#include "app/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace pangu::app {
namespace {

// A handler can reach nothing but a global; that it is lock-free makes it safe there.
std::atomic<int> signal_seen{0};
static_assert(std::atomic<int>::is_always_lock_free);

constexpr int kSignals[] = {SIGINT, SIGTERM};
constexpr int kSignalExit = 128;

void on_interrupt(int number) {
  if (signal_seen.exchange(number) != 0) _exit(kSignalExit + number);
}

void handle(void (*from)(int), void (*to)(int)) {
  for (const int number : kSignals) {
    struct sigaction before{};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != from) continue;
    struct sigaction action{};
    action.sa_handler = to;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, nullptr);
  }
}

}  // namespace

Interrupt::Interrupt() {
  signal_seen = 0;
  handle(SIG_DFL, on_interrupt);
}

Interrupt::~Interrupt() { handle(on_interrupt, SIG_DFL); }

bool Interrupt::wanted() const { return signal_seen != 0; }

int Interrupt::exit_code() const { return kSignalExit + signal_seen; }

}  // namespace pangu::app

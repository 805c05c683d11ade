// Ctrl-C as a question that long work asks. The one place of the program that handles signals.
#pragma once

namespace pangu::app {

// While it lives, the first SIGINT or SIGTERM is only remembered; a second one ends the process at
// once. A signal that the process was told to ignore stays ignored. One at a time in a process.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();  // signals end the process again
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Whether there was a signal. From any thread.
  bool wanted() const;

  // As shells call a process that a signal ended: 128 and the signal's number. REQUIRES wanted().
  int exit_code() const;
};

}  // namespace pangu::app

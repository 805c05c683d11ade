// Tells whether the other processes of a training still run: each counts on in a store that all
// reach, and watches the others' counts. A process that has ended in the midst of a call is found
// by its closed connection; this finds those whose machine or network is gone, and those that stand
// still.
#pragma once
#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "dist/place.h"

namespace pangu::dist {

class SignsOfLife {
 public:
  // store: a client of its own, for its calls may block. silence_s: of a process that is lost.
  SignsOfLife(c10::intrusive_ptr<c10d::Store> store, const Place& place, double silence_s);
  // Does not wait long for a store that does not answer.
  ~SignsOfLife();
  SignsOfLife(const SignsOfLife&) = delete;
  SignsOfLife& operator=(const SignsOfLife&) = delete;

  // Who is lost, as the end of "lost connection: "; "" if all is well. From any thread.
  std::string lost() const;

 private:
  struct Watch;
  std::shared_ptr<Watch> watch_;  // shared with its thread, which may outlive this
};

}  // namespace pangu::dist

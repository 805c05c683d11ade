// `pangu-draw train --nproc N`: the same command in N processes of this machine, which train
// together (dist/world.h). It computes nothing.
#pragma once

namespace pangu::app {

// Starts them, hands Ctrl-C and SIGTERM on to them, and waits. Where one fails the others are
// ended, and all are started again from the last checkpoint up to max_restarts times. Returns the
// exit code that one process would have had: that of the process that failed first, 128 and the
// signal's number where a signal ended it. Error kUnavailable if a process cannot be started.
int train_in_processes(int count, int max_restarts);

}  // namespace pangu::app

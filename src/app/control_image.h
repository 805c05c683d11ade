// The picture that a ControlNet expects, of another picture: what `pangu-draw control` writes into
// a file and a worker sends to its server.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "app/commands.h"
#include "image/image.h"

namespace pangu::app {

// Reads args.input; args.out is not used. Errors as of run_control.
image::Image control_image(const ControlArgs& args);

// {"kind": "edges", "low_threshold": 100, ...}: the keys are the fields of ControlArgs that its
// kind reads. Error kBadInput names an unknown key or kind.
ControlArgs control_args_from(const nlohmann::json& options);

}  // namespace pangu::app

// Tensor names of ESRGAN upscalers (RRDBNet), whose files come in three spellings, turned into
// those of Real-ESRGAN and BasicSR: conv_first, body.N.rdb1.conv1, conv_body, conv_up1, conv_hr,
// conv_last. Knows no shape.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace pangu::io {

// A file's names to BasicSR's. The three spellings are BasicSR's own; RRDB_trunk.N.RDB1.conv1,
// trunk_conv, upconv1, HRconv of the second ESRGAN code; and model.1.sub.N.RDB1.conv1.0, model.3,
// ... of the first. A wrapper's "params_ema.", "params." or "module." in front is left out. Error
// kBadInput, which calls the file `what`, if a name is of none of them.
std::map<std::string, std::string> rrdb_names(const std::vector<std::string>& names,
                                              const std::string& what);

// Whether the names are those of an RRDBNet, in any spelling.
bool is_rrdb_net(const std::vector<std::string>& names);

}  // namespace pangu::io

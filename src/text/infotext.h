// The text that A1111's web UI keeps in a picture ("parameters"): the prompt, "Negative prompt:
// ...", and a last line "Steps: 20, Sampler: Euler a, ...", with values of odd characters quoted as
// JSON. Format: modules/infotext_utils.py of AUTOMATIC1111/stable-diffusion-webui. What the
// settings mean is not known here.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pangu::text {

struct Infotext {
  std::string prompt, negative;
  std::vector<std::pair<std::string, std::string>> settings;  // in their order

  // Of the last setting of this name; nothing if there is none.
  std::optional<std::string> find(std::string_view name) const;
};

// Never fails: what is no setting is prompt, as there.
Infotext parse_infotext(std::string_view text);

// parse_infotext gives the same again, unless a text has a line that begins with "Negative
// prompt:", blanks at its ends, or a name is not letters, digits, "_", " ", "-" and "/" (2 at
// least); with fewer than three settings they are taken for prompt.
std::string to_text(const Infotext& info);

}  // namespace pangu::text

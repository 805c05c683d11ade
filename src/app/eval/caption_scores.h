// CLIP's scores of pictures that have captions: the network of --clip, its tokens, and the captions
// by the names of the pictures.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/eval/picture_scores.h"
#include "eval/prompt_list.h"

namespace pangu::app {

// Adds --clip's network to what measures. Nothing if --clip is empty. Error kBadInput if the file
// is no CLIP; a picture without a caption is one when its turn comes.
void add_clip(const RulerArgs& args, const std::vector<eval::NamedPrompt>& captions,
              OpenRulers& open_);

}  // namespace pangu::app

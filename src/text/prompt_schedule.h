// Prompts that change while a picture is drawn, as Stable Diffusion web UI (A1111, 1.10) reads
// them: [from:to:when], [to:when], [from::when] and [a|b|c]. Gives plain prompts, which
// text/prompt.h reads further; knows no noise level. And what of that program's syntax a prompt
// holds, for models that take every word as it is.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pangu::text {

// What a prompt is for some of the steps.
struct PromptPhase {
  int end_step = 0;  // for the steps before this one (the first is step 0) that no phase before has
  std::string prompt;
  bool operator==(const PromptPhase&) const = default;
};

// The phases of a drawing of `steps` steps; the last ends with it. Neighbours differ.
//   [from:to:when]  `from` for the first `when` steps, then `to`. A number with a point is a share
//                   of the steps, rounded down; a whole one a number of steps. [to:when] has
//                   nothing before, [from::when] nothing after.
//   [a|b|...]       one a step, in turn; any may be empty.
// They nest, and ( ) and \ keep their meaning for what reads the phases: "\[a|b\]" is text, and so
// are brackets that are not closed or hold no number. REQUIRES steps >= 1.
// Two differences: there a '|' outside of brackets makes the whole prompt plain, here it is plain
// by itself; and there the program itself changes one step later than it documents, here as it
// documents.
std::vector<PromptPhase> prompt_phases(std::string_view prompt, int steps);

// The first piece of that program's syntax with which a person must have meant more than words: a
// weight "(x:1.3)", editing, alternation, "BREAK", "AND", "<lora:x:1>"; empty if there is none.
std::string syntax_in(std::string_view prompt);

// One of several prompts that are drawn together, and how much it counts.
struct JoinedPrompt {
  std::string prompt;
  double weight = 1.0;
};

// The parts of "a AND b :0.5": each may end with its weight. One part of weight 1 if the prompt has
// no word AND; there a number behind a colon is text, which that program takes for a weight.
std::vector<JoinedPrompt> joined_prompts(const std::string& prompt);

// The end of a text that is too long: from the first word on that `fits` no more. Empty if all
// fits, or all but spaces at the end. A text without spaces is cut between characters. fits:
// whether a beginning of the text does; if one does, so does every shorter one.
std::string words_behind(const std::string& text,
                         const std::function<bool(std::string_view)>& fits);

}  // namespace pangu::text

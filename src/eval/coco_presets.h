// The two benchmarks of PanGu-Draw's paper as lists of prompts with a folder of real pictures:
// COCO-2014 (30,000 captions of its validation set at 256 pixels, zero-shot) and COCO-CN's test
// set. Their files are fetched by hand. The numbers beside are those of the paper's project page.
#pragma once
#include <string>
#include <vector>

#include "eval/page.h"
#include "eval/prompt_list.h"

namespace pangu::eval {

struct Benchmark {
  std::vector<NamedPrompt> prompts;
  std::string reference;  // folder of real pictures
  int size_px = 0;        // that pictures are compared at
  Table published;        // scores of others on it
};

// name: "coco-2014" or "coco-cn". folder: holds the files. Error kBadInput for another name, and,
// naming what to fetch and from where, for a file that is missing or another one.
Benchmark open_benchmark(const std::string& name, const std::string& folder);

// `count` captions of a COCO annotation file: drawn from all of them, sorted by their ids, by
// NumPy's permutation with seed 2020, each named by its id in twelve digits. Error kBadInput if
// there are fewer or it is another file; `name` is what errors call the text.
std::vector<NamedPrompt> coco_captions(std::string_view json, int64_t count,
                                       const std::string& name);

// The first caption of each picture that `split` names, a picture a line; captions: "PICTURE#...
// TEXT" a line. Error kBadInput if a picture has none.
std::vector<NamedPrompt> coco_cn_captions(std::string_view captions, std::string_view split,
                                          const std::string& name);

}  // namespace pangu::eval

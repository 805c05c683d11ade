// What the subcommands that measure share: bars of phases, tables on the terminal, batches of
// pictures, small pictures for pages. Measures nothing.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "core/progress.h"
#include "eval/page.h"
#include "image/image.h"

namespace pangu::app {

// One bar after another, as phases change.
class Bars {
 public:
  explicit Bars(bool quiet) : quiet_(quiet) {}
  void operator()(const std::string& phase, const Progress& progress);
  void finish() { bar_.reset(); }

 private:
  bool quiet_;
  std::string phase_;
  std::unique_ptr<ProgressBar> bar_;
};

void print_tables(const std::vector<eval::Table>& tables);

// WebP of at most 300 KB where a quality allows it: pages and their pictures lie in repositories.
image::Bytes small_webp(const image::Image& picture);

// [N,3,H,W] f32 in [-1,1] of pictures first to end - 1, at least one, of one size.
at::Tensor batch_of(const std::vector<image::Image>& pictures, size_t first, size_t end);

// As a reader of a page can say it: a place of this machine alone is shortened to its name.
std::string shown_path(const std::string& path);

// Error kBadInput naming the first of these files whose folder does not exist; empty names pass.
void check_folders_of(const std::vector<std::string>& files);

// Where features of real pictures are kept: `said`, or a file in that folder, or in the temporary.
std::string feature_cache(const std::string& said);

// The dataset and the weights of the feature extractor that a study needs: `said`, or if it is
// empty where the tools that make the embedded models put them, below home(). Error kBadInput
// naming the command that makes what is not there.
std::string usual_data(const std::string& said);
std::string usual_inception(const std::string& said);

}  // namespace pangu::app

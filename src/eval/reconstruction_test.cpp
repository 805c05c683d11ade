// Tests the numbers of autoencoders that are closed forms.
#include "eval/reconstruction.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

namespace pangu::eval {
namespace {

TEST_CASE("a picture that is off by a tenth of its range everywhere has a PSNR of 20 dB") {
  const at::Tensor grey = at::zeros({2, 3, 4, 4});
  const at::Tensor db = psnr_db(grey + 0.2, grey);
  CHECK(db.sizes() == at::IntArrayRef({2}));
  CHECK(db[0].item<double>() == doctest::Approx(20.0));
  CHECK(psnr_db(grey, grey)[1].item<double>() == doctest::Approx(10 * std::log10(4e10)));
  CHECK(psnr_db(grey + 9.0, grey + 1.0)[0].item<double>() > 100);  // both are clipped to white
  CHECK(std::isnan(psnr_db(grey / 0.0, grey)[0].item<double>()));
}

TEST_CASE("an autoencoder's numbers are those of all pictures, whatever its batches") {
  const at::Tensor pictures = at::rand({37, 3, 8, 8}) - 0.5;
  std::vector<at::Tensor> batches = pictures.split(16);
  const Reconstruction found =
      reconstruction_of([](const at::Tensor& x) { return x * 4 + 1; },
                        [](const at::Tensor& z) { return (z - 1) / 4 + 0.02; },
                        [&] {
                          if (batches.empty()) return at::Tensor();
                          const at::Tensor last = batches.back();
                          batches.pop_back();
                          return last;
                        });
  const at::Tensor z = (pictures * 4 + 1).to(at::kDouble);
  CHECK(found.latent_mean == doctest::Approx(z.mean().item<double>()));
  CHECK(found.latent_deviation ==
        doctest::Approx(z.std(/*unbiased=*/false).item<double>()).epsilon(1e-6));
  CHECK(found.psnr_db == doctest::Approx(40.0).epsilon(1e-4));
}

}  // namespace
}  // namespace pangu::eval

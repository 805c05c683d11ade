// From a single file to components and back: the same names, shapes and bytes.
// tests/e2e/convert_test.py compares names and values with files that this program did not make.
#include "io/ldm/single_file.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/error.h"
#include "io/families/made_checkpoint.h"
#include "io/ldm/ldm_names.h"

using namespace pangu;
using namespace pangu::io;
using namespace pangu::io::made;

namespace {

constexpr int64_t kWords = 64;
const std::string kAutoencoder = "first_stage_model.";
const std::string kFirst = "conditioner.embedders.0.", kSecond = "conditioner.embedders.1.";
using Bytes = std::vector<std::byte>;

// The bytes of a matrix [rows,columns] as [columns,rows].
Bytes transposed(const Bytes& bytes, int64_t rows, int64_t columns, size_t element) {
  Bytes turned(bytes.size());
  for (int64_t i = 0; i < rows * columns; ++i) {
    const int64_t to = i % columns * rows + i / columns;
    std::memcpy(turned.data() + static_cast<size_t>(to) * element,
                bytes.data() + static_cast<size_t>(i) * element, element);
  }
  return turned;
}

// What a writer puts together of a component's tensors.
Bytes bytes_of(const SingleFileTensor& tensor, const NamedTensors& from) {
  Bytes all;
  for (const std::string& name : tensor.parts) {
    const NamedTensor& part = from.at(name);
    Bytes one(part.view.data, part.view.data + part.view.size_bytes);
    if (part.transpose != tensor.is_transposed) {
      one = transposed(one, part.view.shape.at(0), part.view.shape.at(1), size_of(part.view.dtype));
    }
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// Splits the checkpoint into components, and checks that naming those gives it again.
std::map<std::string, NamedTensors> check_round_trip(const Maker& made, Family family) {
  const Recognised what = recognise(made.tensors);
  REQUIRE(std::string(name_of(what.family)) == name_of(family));
  const Components read = components_of(made.tensors, what);
  REQUIRE(read.unexpected.empty());
  REQUIRE(read.missing.empty());
  const std::vector<SingleFileTensor> tensors = single_file_tensors(family, read.parts);
  CHECK(tensors.size() == made.tensors.size());
  for (const SingleFileTensor& tensor : tensors) {
    const auto original = made.tensors.find(tensor.name);
    REQUIRE_MESSAGE(original != made.tensors.end(), tensor.name);
    const TensorView& view = original->second;
    CHECK_MESSAGE(tensor.shape == view.shape, tensor.name);
    CHECK_MESSAGE(tensor.dtype == view.dtype, tensor.name);
    CHECK_MESSAGE(bytes_of(tensor, read.parts.at(tensor.component)) ==
                      Bytes(view.data, view.data + view.size_bytes),
                  tensor.name);
  }
  return read.parts;
}

Maker sd1_checkpoint(int64_t in_channels = 4) {
  Maker m(true);
  unet(m, kUnet, {.width = 8, .context = 64, .in_channels = in_channels});
  vae(m, kAutoencoder, {8, 16, 32, 32}, 2);
  clip(m, kClip, 64, 2, kWords);
  return m;
}

Maker sdxl_checkpoint(int middle = 2) {
  Maker m(true);
  Shape shape = sdxl();
  shape.width = 8;
  shape.context = 192;
  shape.addition = 128 + 6 * 256;
  shape.depths = {0, 1, 2};
  shape.middle = middle;
  unet(m, kUnet, shape);
  vae(m, kAutoencoder, {8, 16, 32}, 1);
  clip(m, kFirst + "transformer.text_model.", 64, 2, kWords);
  openclip(m, kSecond + "model.", 128, 3, kWords);
  return m;
}

}  // namespace

TEST_CASE("Stable Diffusion 1, whole and inpainting, gets its names and bytes back") {
  check_round_trip(sd1_checkpoint(), Family::kStableDiffusion1);
  check_round_trip(sd1_checkpoint(9), Family::kStableDiffusion1);
}

TEST_CASE("levels, layers and depths of other numbers than the released ones get theirs back") {
  Maker m(true);
  unet(m, kUnet,
       {.width = 8,
        .context = 64,
        .multiples = {1, 1, 2, 2, 4},
        .depths = {3, 3, 1, 1, 0},
        .layers = 3});
  vae(m, kAutoencoder, {8, 8, 16, 16, 32}, 3);
  clip(m, kClip, 64, 2, kWords);
  check_round_trip(m, Family::kStableDiffusion1);
}

TEST_CASE("Stable Diffusion 2 gets OpenCLIP's fused projections and linear ones back") {
  Maker m(true);
  Shape shape = sd2();
  shape.width = 8;
  shape.context = 64;
  unet(m, kUnet, shape);
  vae(m, kAutoencoder, {8, 16}, 2);
  openclip(m, kOpenClip, 64, 12, kWords);
  const auto parts = check_round_trip(m, Family::kStableDiffusion2);
  CHECK(parts.at("text_encoder").count("text_model.encoder.layers.11.self_attn.v_proj.bias") == 1);
}

TEST_CASE("SDXL, its refiner and SSD-1B get the names of both text towers back") {
  check_round_trip(sdxl_checkpoint(), Family::kSdxl);
  check_round_trip(sdxl_checkpoint(0), Family::kSsd1b);
  Maker m(true);
  Shape shape = refiner();
  shape.width = 8;
  shape.context = 128;
  shape.addition = 128 + 5 * 256;
  shape.depths = {0, 1, 1, 0};
  shape.middle = 1;
  unet(m, kUnet, shape);
  vae(m, kAutoencoder, {8, 16, 32}, 2);
  openclip(m, kFirst + "model.", 128, 2, kWords);
  check_round_trip(m, Family::kSdxlRefiner);
}

TEST_CASE("a projection of transformers, [O,I], is written as OpenCLIP's [I,O]") {
  const Maker m = sdxl_checkpoint();
  auto parts = components_of(m.tensors, recognise(m.tensors)).parts;
  NamedTensor& projection = parts.at("text_encoder_2").at("text_projection.weight");
  const Bytes before(projection.view.data, projection.view.data + projection.view.size_bytes);
  // As a folder has it.
  const Bytes turned = transposed(before, 128, 128, size_of(DType::F16));
  projection.view.data = turned.data();
  projection.transpose = false;
  for (const SingleFileTensor& tensor : single_file_tensors(Family::kSdxl, parts)) {
    if (tensor.name != kSecond + "model.text_projection") continue;
    CHECK(tensor.is_transposed);
    CHECK(bytes_of(tensor, parts.at("text_encoder_2")) == before);
    return;
  }
  FAIL("no text_projection");
}

TEST_CASE("what a single file has no name or place for is refused by its name") {
  const Maker m = sd1_checkpoint();
  const auto parts = components_of(m.tensors, recognise(m.tensors)).parts;
  const auto refuses = [](Family family, const std::map<std::string, NamedTensors>& components,
                          const char* word) {
    CHECK_THROWS_WITH_AS(single_file_tensors(family, components), doctest::Contains(word), Error);
  };
  CHECK(is_written_as_single_file(Family::kStableDiffusion1));
  CHECK_FALSE(is_written_as_single_file(Family::kPanguDraw3));
  CHECK_FALSE(is_written_as_single_file(Family::kUnknown));
  refuses(Family::kPanguDraw3, parts, "PanGu-Draw 3");
  refuses(Family::kUnknown, parts, "no known family");
  auto more = parts;
  more["unet_texture"] = parts.at("unet");
  refuses(Family::kStableDiffusion1, more, "unet_texture");
  more = parts;
  more["text_encoder_2"] = parts.at("text_encoder");
  refuses(Family::kStableDiffusion1, more, "text_encoder_2");
  more = parts;
  more["unet"]["somebody.else.weight"] = parts.at("unet").begin()->second;
  refuses(Family::kStableDiffusion1, more, "'somebody.else.weight'");
  more = parts;
  more["vae"]["decoder.layers.3.weight"] = parts.at("vae").begin()->second;
  refuses(Family::kStableDiffusion1, more, "'decoder.layers.3.weight'");
}

TEST_CASE("a query without its key is refused, and so is what would be read as another family") {
  const Maker m = sdxl_checkpoint();
  auto parts = components_of(m.tensors, recognise(m.tensors)).parts;
  CHECK_THROWS_WITH_AS(single_file_tensors(Family::kSsd1b, parts),
                       doctest::Contains("taken for SDXL base"), Error);
  parts["text_encoder_2"].erase("text_model.encoder.layers.1.self_attn.k_proj.weight");
  CHECK_THROWS_WITH_AS(single_file_tensors(Family::kSdxl, parts),
                       doctest::Contains("layers.1.self_attn.q_proj.weight"), Error);
}

// What families, layouts and parts are called, and the widths by which an adapter tells its family.
#include "io/families/families.h"

namespace pangu::io {

const char* name_of(Family family) {
  switch (family) {
    case Family::kStableDiffusion1:
      return "Stable Diffusion 1.x";
    case Family::kStableDiffusion2:
      return "Stable Diffusion 2.x";
    case Family::kSdxl:
      return "SDXL base";
    case Family::kSdxlRefiner:
      return "SDXL refiner";
    case Family::kPanguDraw3:
      return "PanGu-Draw 3";
    case Family::kImageVariations:
      return "Stable Diffusion image variations";
    case Family::kUnknown:
      break;
  }
  return "no known family";
}

const char* name_of(Layout layout) {
  switch (layout) {
    case Layout::kLdm:
      return "LDM single file";
    case Layout::kDiffusers:
      return "diffusers";
    case Layout::kKohya:
      return "kohya";
    case Layout::kPeft:
      return "PEFT";
    case Layout::kA1111:
      return "A1111";
    case Layout::kUnknown:
      break;
  }
  return "unknown";
}

const char* name_of(Part part) {
  switch (part) {
    case Part::kCheckpoint:
      return "checkpoint";
    case Part::kUnet:
      return "UNet";
    case Part::kVae:
      return "autoencoder";
    case Part::kTinyVae:
      return "tiny autoencoder";
    case Part::kTextEncoder:
      return "text encoder";
    case Part::kImageEncoder:
      return "image encoder";
    case Part::kControlNet:
      return "ControlNet";
    case Part::kLora:
      return "LoRA";
    case Part::kTextualInversion:
      return "textual inversion";
    case Part::kUnknown:
      break;
  }
  return "unknown";
}

const char* name_of(Prediction prediction) {
  return prediction == Prediction::kEps ? "epsilon"
         : prediction == Prediction::kV ? "v"
                                        : "unknown";
}

Family family_of_context(int64_t width) {
  switch (width) {
    case 768:
      return Family::kStableDiffusion1;
    case 1024:
      return Family::kStableDiffusion2;
    case 1280:
      return Family::kSdxlRefiner;
    case 2048:
      return Family::kSdxl;
    default:
      return Family::kUnknown;
  }
}

Family family_of_text_width(int64_t width) {
  return width == 768    ? Family::kStableDiffusion1
         : width == 1024 ? Family::kStableDiffusion2
                         : Family::kUnknown;
}

}  // namespace pangu::io

// The names of layouts, parts and predictions. Names of families are in family_table.cpp.
#include "io/families/families.h"

namespace pangu::io {

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
    case Part::kUpscaler:
      return "upscaler";
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

}  // namespace pangu::io

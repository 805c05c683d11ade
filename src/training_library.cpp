// What the program looks up in the library libpangu_training.so (app/late_library.h): the commands
// of training and evaluation.
#include "app/commands.h"

#define PANGU_EXPORT extern "C" __attribute__((visibility("default")))

PANGU_EXPORT int pangu_train(const pangu::app::TrainArgs& args) {
  return pangu::app::run_train(args);
}

PANGU_EXPORT int pangu_training_keys() { return pangu::app::print_training_keys(); }

PANGU_EXPORT int pangu_train_bridge(const pangu::app::TrainBridgeArgs& args) {
  return pangu::app::run_train_bridge(args);
}

PANGU_EXPORT int pangu_plan_training(const pangu::app::PlanTrainingArgs& args) {
  return pangu::app::run_plan_training(args);
}

PANGU_EXPORT int pangu_eval(const pangu::app::EvalArgs& args) { return pangu::app::run_eval(args); }

PANGU_EXPORT int pangu_eval_coop(const pangu::app::EvalCoopArgs& args) {
  return pangu::app::run_eval_coop(args);
}

PANGU_EXPORT int pangu_eval_pictures(const pangu::app::EvalPicturesArgs& args) {
  return pangu::app::run_eval_pictures(args);
}

PANGU_EXPORT int pangu_eval_model(const pangu::app::EvalModelArgs& args) {
  return pangu::app::run_eval_model(args);
}

PANGU_EXPORT int pangu_eval_autoencoder(const pangu::app::EvalAutoencoderArgs& args) {
  return pangu::app::run_eval_autoencoder(args);
}

PANGU_EXPORT int pangu_study_tdts(const pangu::app::StudyTdtsArgs& args) {
  return pangu::app::run_study_tdts(args);
}

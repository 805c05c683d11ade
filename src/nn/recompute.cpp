#include "nn/recompute.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>
#include <torch/types.h>

namespace pangu::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kPart = "part";

// What autograd keeps of the part.
struct KeptPart : torch::CustomClassHolder {
  explicit KeptPart(NetworkPart part) : call(std::move(part)) {}
  NetworkPart call;
};

struct Recompute : torch::autograd::Function<Recompute> {
  // anchor: wants a gradient, so that the result does even where no input does: the parameters of
  // the part may.
  static at::Tensor forward(AutogradContext* context, const NetworkPart& part,
                            const at::Tensor& anchor, at::TensorList inputs) {
    (void)anchor;
    context->saved_data[kPart] = c10::IValue::make_capsule(c10::make_intrusive<KeptPart>(part));
    context->save_for_backward(inputs.vec());
    return part(inputs.vec());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto kept =
        c10::static_intrusive_pointer_cast<KeptPart>(context->saved_data.at(kPart).toCapsule());
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& saved : context->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    }
    at::Tensor output;
    {
      const at::AutoGradMode with_gradients(true);
      output = kept->call(inputs);
    }
    if (output.requires_grad()) output.backward(gradients.front());
    variable_list results(2);  // of the part and the anchor: none
    for (const at::Tensor& input : inputs) results.push_back(input.grad());
    return results;
  }
};

}  // namespace

at::Tensor recomputed(const NetworkPart& part, const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return part(inputs);
  const at::Tensor anchor = at::empty({0}).set_requires_grad(true);
  return Recompute::apply(part, anchor, at::TensorList(inputs));
}

}  // namespace pangu::nn

// Model folders in diffusers' layout with our text encoder: weights come in when first needed, each
// network once, under a lock of its own.
#include "pipeline/model.h"

#include <torch/torch.h>

#include <filesystem>
#include <memory>
#include <mutex>

#include "core/utf8.h"
#include "nn/autoencoder_kl.h"
#include "nn/text_encoder.h"
#include "nn/unet.h"
#include "pipeline/model_files.h"
#include "text/unigram.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeights = "diffusion_pytorch_model.safetensors";
constexpr const char* kTextFiles[] = {"text_encoder/config.json", "text_encoder/model.safetensors",
                                      "tokenizer/tokenizer.json"};
constexpr int64_t kPromptTokens = 77;

// Something expensive, made at its first use, by one thread.
template <class T>
class Lazy {
 public:
  explicit Lazy(std::function<std::shared_ptr<T>()> make) : make_(std::move(make)) {}
  T& get() {
    std::call_once(once_, [&] { value_ = make_(); });
    return *value_;
  }

 private:
  std::function<std::shared_ptr<T>()> make_;
  std::once_flag once_;
  std::shared_ptr<T> value_;
};

struct TextSide {
  nn::TextEncoder encoder;
  text::UnigramTokenizer tokenizer;
};

Conditions encode_prompts(const TextSide& text, const std::vector<std::string>& prompts) {
  std::vector<std::vector<int32_t>> ids;
  size_t longest = 1;
  for (const std::string& prompt : prompts) {
    ids.push_back(text.tokenizer.encode(text.encoder.config().prompt_prefix + prompt,
                                        static_cast<size_t>(kPromptTokens)));
    longest = std::max(longest, ids.back().size());
  }
  const int64_t rows = static_cast<int64_t>(prompts.size()), length = int64_t(longest);
  at::Tensor batch = at::full({rows, length}, text.tokenizer.pad(), at::kLong);
  at::Tensor mask = at::zeros({rows, length}, at::kBool);
  for (int64_t r = 0; r < rows; ++r) {
    const auto& row = ids[static_cast<size_t>(r)];
    for (size_t k = 0; k < row.size(); ++k) {
      batch[r][static_cast<int64_t>(k)] = row[k];
      mask[r][static_cast<int64_t>(k)] = true;
    }
  }
  return {text.encoder.encode(batch, mask), mask};
}

template <class Network, class Config>
std::shared_ptr<Network> load_network(const std::string& folder, const Config& config,
                                      at::Device device, at::ScalarType dtype) {
  auto network = std::make_shared<Network>(config);
  network->to(dtype);
  try {
    nn::load_into(*network, nn::load_safetensors(folder + "/" + kWeights, /*copy=*/false));
  } catch (const Error& problem) {
    throw while_doing("loading '" + folder + "'", problem);
  }
  network->to(device);
  nn::weights_to_channels_last(*network);
  network->eval();
  return network;
}

at::Device device_from(const std::string& name) {
  if (name != "cpu" && name.rfind("cuda", 0) != 0) {
    throw bad_input("device", "'cpu', 'cuda' or 'cuda:N'", "'" + name + "'");
  }
  if (name != "cpu" && !torch::cuda::is_available()) {
    throw Error(ErrorCode::kUnavailable,
                "device '" + name + "': this build or machine has no CUDA");
  }
  return at::Device(name);
}

at::ScalarType dtype_from(const std::string& name) {
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  throw bad_input("dtype", "'f32' or 'bf16'", "'" + name + "'");
}

diffusion::Schedule schedule_of(const JsonFile& file) {
  diffusion::ScheduleConfig c;
  c.beta_schedule = diffusion::beta_schedule_from(
      file.get<std::string>("beta_schedule", to_string(c.beta_schedule)));
  c.num_train_timesteps = file.get("num_train_timesteps", c.num_train_timesteps);
  c.beta_start = file.get("beta_start", c.beta_start);
  c.beta_end = file.get("beta_end", c.beta_end);
  c.rescale_betas_zero_snr = file.get("rescale_betas_zero_snr", c.rescale_betas_zero_snr);
  return diffusion::Schedule(c);
}

}  // namespace

std::string fastest_dtype(const std::string& device) {
  if (device != "cpu") return "bf16";
  return __builtin_cpu_supports("avx512bf16") ? "bf16" : "f32";
}

std::string styled_prompt(const Model& model, const std::string& style, const std::string& prompt) {
  std::string words = style;
  const auto named = model.styles.find(style);
  if (named != model.styles.end()) {
    const auto language = named->second.find(has_han(prompt) ? "zh" : "en");
    if (language != named->second.end()) words = language->second;
  }
  const std::string slot = "{prompt}";
  const size_t at = words.find(slot);
  if (at == std::string::npos) return words + ", " + prompt;
  return words.replace(at, slot.size(), prompt);
}

Model load_model(const std::string& folder, const LoadOptions& options) {
  const at::Device device = device_from(options.device);
  const std::string dtype_name = options.dtype.value_or(fastest_dtype(options.device));
  const at::ScalarType dtype = dtype_from(dtype_name);
  const JsonFile index(folder + "/model_index.json");
  const JsonFile scheduler(folder + "/scheduler/scheduler_config.json");
  const JsonFile vae_json(folder + "/vae/config.json");

  Model m;
  m.name = fs::path(folder).filename().string();
  if (m.name.empty()) m.name = fs::path(folder).parent_path().filename().string();
  m.device = options.device;
  m.dtype = dtype_name;
  m.schedule = schedule_of(scheduler);
  m.parameterisation =
      diffusion::parameterisation_from(scheduler.get<std::string>("prediction_type", "epsilon"));
  m.sigma_options.spacing =
      diffusion::spacing_from(scheduler.get<std::string>("timestep_spacing", "leading"));
  m.sigma_options.steps_offset = scheduler.get<int64_t>("steps_offset", 1);

  std::vector<std::string> files = {std::string("vae/") + kWeights,
                                    std::string("unet/") + kWeights};
  for (const char* file : kTextFiles) files.emplace_back(file);
  std::vector<std::pair<std::string, std::string>> parts = {{"unet", "denoiser"}};
  if (index.has("unet_texture")) {
    parts = {{"unet", "structure"}, {"unet_texture", "texture"}};
    files.push_back(std::string("unet_texture/") + kWeights);
    m.boundaries = {m.schedule.sigma_of_t(index.get<double>("expert_boundary", 500))};
  }
  require_files(folder, files);
  m.fingerprint = fingerprint_of(folder, files);

  const auto vae_config = nn::AutoencoderKLConfig::from_json(vae_json.json());
  m.latent_channels = vae_config.latent_channels;
  m.downscale = vae_config.downscale();
  const auto vae = std::make_shared<Lazy<nn::AutoencoderKL>>(
      [=] { return load_network<nn::AutoencoderKL>(folder + "/vae", vae_config, device, dtype); });
  m.load_decoder = [vae] { vae->get(); };
  m.decode = [vae, device, dtype](const at::Tensor& latents) {
    nn::AutoencoderKL& network = vae->get();
    return network
        .decode(
            network.unscale(latents).to(device, dtype).contiguous(at::MemoryFormat::ChannelsLast))
        .to(at::kFloat);
  };

  for (const auto& [part, name] : parts) {
    const std::string part_folder = folder + "/" + part;
    const auto config = nn::unet_config_from_json(JsonFile(part_folder + "/config.json").json());
    if (config.in_channels != m.latent_channels) {
      throw bad_input("'" + part_folder + "/config.json', key 'in_channels'",
                      std::to_string(m.latent_channels) + " as the autoencoder's latents",
                      std::to_string(config.in_channels));
    }
    const auto unet = std::make_shared<Lazy<nn::UNet2DConditionModel>>(
        [=] { return load_network<nn::UNet2DConditionModel>(part_folder, config, device, dtype); });
    m.experts.push_back({name, [unet] { unet->get(); },
                         [unet, device, dtype](const at::Tensor& x, double t, const Conditions& c) {
                           nn::UNetExtras extras;
                           extras.context_mask = c.context_mask.to(device);
                           return unet->get()
                               .forward(
                                   x.to(device, dtype).contiguous(at::MemoryFormat::ChannelsLast),
                                   at::full({1}, t, at::TensorOptions().device(device)),
                                   c.context.to(device, dtype), extras)
                               .to(at::kFloat)
                               .cpu();
                         }});
    m.rules.size_multiple = std::max(m.rules.size_multiple, m.downscale << (config.levels() - 1));
  }

  const auto text = std::make_shared<Lazy<TextSide>>([folder] {
    return std::make_shared<TextSide>(
        TextSide{nn::TextEncoder::from_folder(folder + "/text_encoder"),
                 text::UnigramTokenizer::from_file(folder + "/tokenizer/tokenizer.json")});
  });
  m.load_text = [text] { text->get(); };
  m.encode = [text](const std::vector<std::string>& prompts) {
    return encode_prompts(text->get(), prompts);
  };

  const auto size = index.get<std::vector<int>>("default_size", {256, 256});
  if (size.size() != 2) throw index.wrong("default_size", "[width, height]", "another list");
  m.rules.defaults.width = size[0];
  m.rules.defaults.height = size[1];
  m.rules.defaults.steps = index.get("default_steps", 20);
  m.rules.defaults.guidance = index.get("default_guidance", 4.0);
  m.rules.defaults.sampler = index.get<std::string>("default_sampler", "dpmpp_2m");
  m.rules.defaults.schedule = index.get<std::string>("default_schedule", "karras");
  if (index.has("style_prompts")) {
    m.styles =
        index.get<std::map<std::string, std::map<std::string, std::string>>>("style_prompts", {});
  }
  return m;
}

}  // namespace pangu::pipeline

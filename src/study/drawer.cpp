#include "study/drawer.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace pangu::study {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSeconds = "seconds";  // key of the drawing time in a kept picture
constexpr size_t kNameDigits = 16;           // digits of a hash in names of files

pipeline::CoopWish coop_wish(const Wish& wish) {
  pipeline::CoopWish result{wish.prompt, wish.seed, {}};
  pipeline::Pictures& pictures = result.pictures[kOther];
  if (wish.edges) {
    pictures.controls = {*wish.edges};
  } else if (wish.picture) {
    pictures.prompt = *wish.picture;
  }
  return result;
}

// Returns false if there is no kept picture, or if it cannot be read; it is then drawn again.
bool read_kept(const fs::path& file, Picture& into) {
  if (file.empty() || !fs::exists(file)) return false;
  try {
    const io::MappedFile mapped(file.string());
    const std::span bytes(reinterpret_cast<const uint8_t*>(mapped.bytes().data()),
                          mapped.bytes().size());
    into.seconds = std::stod(image::read_png_text(bytes).at(kSeconds));
    into.picture = image::decode_image(bytes);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void keep(const fs::path& file, const Picture& picture) {
  if (file.empty()) return;
  std::error_code failed;
  fs::create_directories(file.parent_path(), failed);
  if (failed) throw io_error("cannot make", file.parent_path().string(), failed.value());
  const image::Bytes png =
      image::encode_png(picture.picture, {{kSeconds, nlohmann::json(picture.seconds).dump()}});
  io::write_file_atomic(file.string(), std::as_bytes(std::span(png)));
}

}  // namespace

Drawer::Drawer(pipeline::CoopSetup setup, fs::path folder)
    : setup_(std::move(setup)),
      folder_(std::move(folder)),
      models_(std::make_shared<std::map<std::string, pipeline::Model>>()) {
  setup_.open_model = [models = models_, open = setup_.open_model](
                          const std::string& path, const pipeline::LoadOptions& options) {
    auto found = models->find(path);
    if (found == models->end()) found = models->emplace(path, open(path, options)).first;
    return found->second;
  };
  setup_.read_picture = [](const std::string&) { return image::filled(64, 64, {0, 0, 0}); };
}

const pipeline::Model& Drawer::model(const std::string& path) {
  setup_.open_model(path, setup_.load);
  return models_->at(path);
}

void Drawer::use(const std::vector<SettingRecipe>& recipes) {
  settings_.clear();
  for (const SettingRecipe& one : recipes) {
    try {
      settings_.push_back({pipeline::assemble(one.recipe, setup_), ""});
    } catch (const Error& problem) {
      throw while_doing("setting '" + one.setting.name + "'", problem);
    }
    std::string key = pipeline::to_json(one.recipe).dump() + setup_.load.dtype.value_or("");
    for (const auto& stage : settings_.back().coop.stages) {
      for (const auto& m : stage.members) key += " " + m.name + m.model->fingerprint;
    }
    settings_.back().key = sha256_hex(key).substr(0, kNameDigits);
  }
}

std::vector<Picture> Drawer::draw(size_t setting, const std::vector<Wish>& wishes) const {
  std::vector<Picture> pictures(wishes.size());
  std::vector<pipeline::CoopWish> to_draw;
  std::vector<size_t> places;
  for (size_t i = 0; i < wishes.size(); ++i) {
    if (read_kept(file_of(setting, wishes[i]), pictures[i])) continue;
    to_draw.push_back(coop_wish(wishes[i]));
    places.push_back(i);
  }
  if (to_draw.empty()) return pictures;
  const auto start = std::chrono::steady_clock::now();
  pipeline::Drawing drawing =
      pipeline::draw_each(settings_[setting].coop, to_draw, int(to_draw.size()));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  for (size_t k = 0; k < places.size(); ++k) {
    Picture& made = pictures[places[k]];
    made = {std::move(drawing.pictures[k]), took.count() / double(places.size())};
    keep(file_of(setting, wishes[places[k]]), made);
  }
  return pictures;
}

fs::path Drawer::file_of(size_t setting, const Wish& wish) const {
  if (folder_.empty()) return {};
  Sha256 hash;
  hash.update(wish.prompt + "\n" + std::to_string(wish.seed) + "\n");
  if (wish.picture) hash.update(std::as_bytes(std::span(wish.picture->pixels)));
  return folder_ / settings_[setting].key / (hex_of(hash.digest()).substr(0, kNameDigits) + ".png");
}

}  // namespace pangu::study

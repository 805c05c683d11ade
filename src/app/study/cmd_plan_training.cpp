// `pangu-draw plan-training`: tables of what strategies can use, cost and take. The arithmetic is
// in train/plan.h; here it meets networks, datasets and the terminal.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/study/network_costs.h"
#include "app/table.h"
#include "data/dataset.h"
#include "train/plan.h"

namespace pangu::app {
namespace {

using train::StageCost;
using train::StrategyCost;

constexpr double kSecondsAnHour = 3600;
constexpr double kGiga = 1e9;

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

train::CostSources sources_of(const train::PlanConfig& plan) {
  train::CostSources sources;
  add_network_costs(plan.context_length, sources);
  sources.downscale = plan.latent_downscale;
  sources.drawing_px = plan.drawing_px;
  sources.drawing_steps = plan.drawing_steps;
  sources.rows_a_step = plan.drawing_rows;
  if (plan.train_data_dir.empty()) {
    sources.pictures = [plan](const train::Stage& stage) {
      return double(plan.pictures) *
             data::share_of_at_least(plan.histogram(), stage.config.min_image_size);
    };
    return sources;
  }
  data::Report report;
  std::vector<data::Item> items;
  for (const std::string& path : plan.train_data_dir) {
    for (data::Item& item : data::open_dataset(path, report)) items.push_back(std::move(item));
  }
  if (!report.is_clean()) std::cerr << "data: " << report.text() << "\n";
  data::limit_sizes(plan.histogram(), items);
  sources.pictures = [items](const train::Stage& stage) {
    data::ItemFilter filter;
    filter.part = stage.config.data_part;
    filter.splits = {"train"};
    filter.min_side_px = static_cast<int>(stage.config.min_image_size);
    return double(data::filtered(items, filter).size());
  };
  return sources;
}

StrategyCost cost_in_budget(const train::Strategy& strategy, const train::CostSources& sources,
                            const train::PlanConfig& plan) {
  if (plan.budget_gflop > 0) return cost_of_budget(strategy, sources, plan.budget_gflop);
  if (plan.budget_samples > 0) return cost_of_samples(strategy, sources, plan.budget_samples);
  return cost_of_epochs(strategy, sources, plan.budget_epochs);
}

// Everything that is printed, as tables or as JSON.
struct PlanReport {
  train::PlanConfig plan;
  std::vector<StrategyCost> costs;                         // within the budget
  std::vector<StrategyCost> samples, epochs;               // one of each for every stage
  std::vector<std::vector<train::DeviceCost>> on_devices;  // of each strategy
  size_t reference = 0;
  train::Recommendation advice;
};

PlanReport report_of(const std::string& config) {
  PlanReport r;
  r.plan = train::PlanConfig::open(config);
  const train::CostSources sources = sources_of(r.plan);
  for (const std::string& file : r.plan.strategies) {
    const train::Strategy strategy = train::open_strategy(file);
    if (strategy.id == r.plan.reference) r.reference = r.costs.size();
    r.costs.push_back(cost_in_budget(strategy, sources, r.plan));
    r.on_devices.push_back(train::device_costs(r.plan, strategy, r.costs.back(), sources));
    r.samples.push_back(cost_of_samples(strategy, sources, 1));
    r.epochs.push_back(cost_of_epochs(strategy, sources, 1));
  }
  r.advice = train::recommendation(r.plan, r.costs);
  return r;
}

double hours_on(const PlanReport& r, size_t machine, const StrategyCost& cost) {
  return cost.gflop() / double(r.plan.hardware_gflop_per_second[machine]) / kSecondsAnHour;
}

double memory_gb(const StrategyCost& cost) {
  return cost.trained_at_once * train::kTrainingBytesAParameter / kGiga;
}

void print_stages(const PlanReport& r) {
  std::vector<Row> rows = {
      {"strategy", "stage", "pictures", "samples", "times each", "GFLOP a sample", "GFLOP"}};
  for (const StrategyCost& cost : r.costs) {
    for (const StageCost& stage : cost.stages) {
      rows.push_back({cost.title, stage.name, short_number(stage.pictures),
                      short_number(stage.samples), short_number(stage.epochs()),
                      short_number(stage.gflop_a_sample), short_number(stage.gflop)});
    }
  }
  std::cout << table(rows) << "\n";
}

void print_totals(const PlanReport& r) {
  Row head = {"strategy",        "pictures used", "GFLOP",          "parameters drawing",
              "largest trained", "GB for it",     "GFLOP a picture"};
  for (const std::string& machine : r.plan.hardware) head.push_back("hours, " + machine);
  std::vector<Row> rows = {head};
  for (const StrategyCost& cost : r.costs) {
    Row row = {cost.title,
               short_number(cost.pictures),
               short_number(cost.gflop()),
               human_count(int64_t(cost.parameters)),
               human_count(int64_t(cost.trained_at_once)),
               short_number(memory_gb(cost)),
               short_number(cost.gflop_a_picture)};
    for (size_t m = 0; m < r.plan.hardware.size(); ++m) {
      const bool fits = memory_gb(cost) <= double(r.plan.hardware_memory_gb[m]);
      row.push_back(short_number(hours_on(r, m, cost)) + (fits ? "" : ", on several devices"));
    }
    rows.push_back(row);
  }
  std::cout << table(rows)
            << "GB: weights, gradients, optimiser and average of the largest network; activations "
               "come on top.\n\n";
}

// A device of the machine holds it, or it says so.
std::string hours_if_it_fits(const PlanReport& r, size_t machine, const train::DeviceCost& cost) {
  if (cost.bytes() / kGiga > double(r.plan.hardware_memory_gb[machine])) return "too large";
  return short_number(cost.hours[machine]);
}

void print_devices(const PlanReport& r) {
  if (r.plan.devices.empty()) return;
  Row head = {"strategy",          "stage",         "devices", "zero_stage", "GB a device",
              "GB of activations", "GB sent a step"};
  for (const std::string& machine : r.plan.hardware) head.push_back("hours, " + machine);
  std::vector<Row> rows = {head};
  for (size_t s = 0; s < r.costs.size(); ++s) {
    for (const train::DeviceCost& cost : r.on_devices[s]) {
      Row row = {r.costs[s].title,
                 cost.stage,
                 std::to_string(cost.sharing.devices),
                 std::to_string(cost.sharing.zero_stage),
                 short_number(cost.bytes() / kGiga),
                 short_number(cost.activation_bytes / kGiga),
                 short_number(cost.sent_bytes / kGiga)};
      for (size_t m = 0; m < r.plan.hardware.size(); ++m) {
        row.push_back(hours_if_it_fits(r, m, cost));
      }
      rows.push_back(row);
    }
  }
  std::cout << table(rows) << "GB a device: with activations of " << r.plan.samples_a_device
            << " samples, from shapes. Sent: by one device. Hours assume that several devices take "
            << short_number(100 * r.plan.many_devices_overhead)
            << " % longer than their number says (many_devices_overhead).\n\n";
}

std::string claim_text(int64_t percent) {
  char text[32];
  std::snprintf(text, sizeof text, "%+lld %%", static_cast<long long>(percent));
  return text;
}

void print_comparison(const PlanReport& r) {
  const StrategyCost& reference = r.costs[r.reference];
  std::vector<Row> rows = {{"against " + reference.title, "pictures",
                            "training, same samples a stage", "training, same passes over pictures",
                            "drawing"}};
  for (size_t i = 0; i < r.costs.size(); ++i) {
    if (i == r.reference) continue;
    rows.push_back({r.costs[i].title,
                    train::percent_against(r.costs[i].pictures, reference.pictures),
                    train::percent_against(r.samples[i].gflop(), r.samples[r.reference].gflop()),
                    train::percent_against(r.epochs[i].gflop(), r.epochs[r.reference].gflop()),
                    train::percent_against(r.costs[i].gflop_a_picture, reference.gflop_a_picture)});
  }
  const auto& claimed = r.plan.claimed_percent;
  if (!claimed.empty()) {
    rows.push_back({"published of " + r.costs.front().title, claim_text(claimed[0]),
                    claim_text(claimed[1]), claim_text(claimed[1]), claim_text(claimed[2])});
  }
  std::cout << table(rows) << "\n";
}

nlohmann::json to_json(const PlanReport& r) {
  nlohmann::json all = {{"recommended", r.costs[r.advice.strategy].id}, {"why", r.advice.why}};
  for (size_t i = 0; i < r.costs.size(); ++i) {
    const StrategyCost& cost = r.costs[i];
    nlohmann::json one = {{"strategy", cost.id},
                          {"pictures", cost.pictures},
                          {"gflop", cost.gflop()},
                          {"parameters", cost.parameters},
                          {"largest_network", cost.trained_at_once},
                          {"gflop_a_picture", cost.gflop_a_picture},
                          {"gflop_at_one_sample_a_stage", r.samples[i].gflop()},
                          {"gflop_at_one_pass", r.epochs[i].gflop()}};
    for (const StageCost& stage : cost.stages) {
      one["stages"].push_back({{"name", stage.name},
                               {"pictures", stage.pictures},
                               {"samples", stage.samples},
                               {"epochs", stage.epochs()},
                               {"gflop_a_sample", stage.gflop_a_sample},
                               {"gflop", stage.gflop}});
    }
    for (size_t m = 0; m < r.plan.hardware.size(); ++m) {
      one["hours"][r.plan.hardware[m]] = hours_on(r, m, cost);
    }
    for (const train::DeviceCost& shared : r.on_devices[i]) {
      nlohmann::json row = {{"stage", shared.stage},
                            {"devices", shared.sharing.devices},
                            {"zero_stage", shared.sharing.zero_stage},
                            {"state_bytes", shared.state_bytes},
                            {"activation_bytes", shared.activation_bytes},
                            {"bytes_sent_a_step", shared.sent_bytes}};
      for (size_t m = 0; m < r.plan.hardware.size(); ++m) {
        row["hours"][r.plan.hardware[m]] = shared.hours[m];
      }
      one["shared"].push_back(row);
    }
    all["strategies"].push_back(one);
  }
  return all;
}

}  // namespace

int run_plan_training(const PlanTrainingArgs& args) {
  const PlanReport report = report_of(args.config);
  if (args.json) {
    std::cout << to_json(report).dump(2) << "\n";
    return 0;
  }
  print_stages(report);
  print_totals(report);
  print_devices(report);
  print_comparison(report);
  std::cout << "Recommended: " << report.costs[report.advice.strategy].title << ", which "
            << report.advice.why << ".\nThis is accounting: it says nothing of quality.\n";
  return 0;
}

}  // namespace pangu::app

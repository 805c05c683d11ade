#include "pipeline/coop/recipe.h"

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

json two() {
  return {{"prompt", "a cat"},
          {"member", {{{"name", "a"}, {"hub", true}}, {{"name", "b"}, {"weight", 0.25}}}}};
}

std::string refused(const json& document) {
  return refusal_of([&] { recipe_from_json(document); });
}

TEST_CASE("a recipe is what its JSON says, and comes back from it") {
  json whole = two();
  whole["form"] = "one_way";
  whole["bridge_every"] = 3;
  whole["size"] = "384x256";
  whole["member"][0]["weight_curve"] = {{0.5, 0.1}, {3.0, 1.0}};
  whole["member"][1]["lora"] = {"style:0.5",
                                {{"path", "x"}, {"weight", 0.5}, {"text_weight", 0.25}}};
  whole["member"][1]["control_image"] = "edges.png,weight=0.5";
  whole["member"][1]["sigma_high"] = 2.0;
  whole["stage"] = {{{"members", {"b"}}, {"until", "t=500"}, {"size", "128"}},
                    {{"members", {"a", "b"}}}};
  const Recipe recipe = recipe_from_json(whole);
  CHECK(recipe.request.width == 384);
  CHECK(recipe.members[0].weight_curve.size() == 2);
  CHECK(recipe.members[1].load.loras[1].text_weight == 0.25);
  CHECK(recipe.members[1].request["controls"][0]["weight"] == 0.5);
  CHECK(recipe.stages[0].size == std::pair(128, 128));
  const json written = to_json(recipe);
  CHECK(to_json(recipe_from_json(written)) == written);
  CHECK(to_json(recipe_from_json(json::parse(written.dump()))) == written);
}

TEST_CASE("what a recipe cannot mean is refused by the member's name and key") {
  CHECK(refused(two()) == "accepted");
  const auto with = [](const char* key, const json& value) {
    json document = two();
    document["member"][1][key] = value;
    return refused(document);
  };
  for (const auto& [key, value] : {std::pair<const char*, json>{"weight", -1},
                                   {"weight", "much"},
                                   {"weight_curve", json::array()},
                                   {"from", 1.0},
                                   {"steps", 3},
                                   {"seed", 3},
                                   {"guidance", "much"},
                                   {"colour", 1},
                                   {"lora", {{{"path", "x"}}}}}) {
    CHECK_MESSAGE(contains(with(key, value), "member 'b'"), key);
    CHECK_MESSAGE(contains(with(key, value), key[0] == 'f' ? "'to'" : key), key);
  }
  CHECK(contains(with("hub", true), "'a' and 'b'"));
  json document = two();
  document["member"][0].erase("hub");
  CHECK(contains(refused(document), "hub"));
  document = two();
  document["control_image"] = "x.png";
  CHECK(contains(refused(document), "control_image"));
  document = two();
  document["member"] = "a";
  CHECK(contains(refused(document), "member"));
  for (const json& other : {json(), json(3), json::array(), json{{"member", {1, 2}}}}) {
    CHECK(refused(other) != "accepted");
  }
}

TEST_CASE("a member on the command line is the table of the same keys") {
  const MemberSpec m = member_from_text(
      "models/edges,weight=0.3,to=0.7,control=e.png,prompt=a cat, "
      "red,lora=x:0.5,lora=y,guidance=2");
  CHECK(m.model == "models/edges");
  CHECK(m.weight == 0.3);
  CHECK(m.to == 0.7);
  CHECK(m.request["prompt"] == "a cat, red");
  CHECK(m.request["guidance"] == 2);
  CHECK(m.request["controls"][0]["image"] == "e.png");
  CHECK(m.load.loras.size() == 2);
  CHECK(member_from_text("x").weight == 0.5);
  for (const char* wrong : {"x,weight=much", "x,weight=", "x,red", "x,colour=1", "x,weight=0.3,red",
                            "x,hub=true", "x,steps=3", "x,prompt=\xff"}) {
    CHECK_MESSAGE(refusal_of([&] { member_from_text(wrong); }) != "accepted", wrong);
  }
}

TEST_CASE("paths of a recipe are found beside its file") {
  const TestFolder folder;
  folder.write("pictures/e.png", std::string("x"));
  const std::string path = folder.write(
      "r.toml", std::string("prompt = 'a'\n[[member]]\nhub = true\n[[member]]\nname = 'b'\n"
                            "mask = 'pictures/e.png'\ncontrol_image = 'pictures/e.png,weight=0.5'\n"
                            "model = 'not/there'\n"));
  const Recipe recipe = recipe_of_file(path, "/nowhere");
  CHECK(recipe.members[1].mask == folder.file("pictures/e.png"));
  CHECK(recipe.members[1].request["controls"][0]["image"] == folder.file("pictures/e.png"));
  CHECK(recipe.members[1].model == "not/there");
}

}  // namespace
}  // namespace pangu::pipeline

#include "serve/events.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

struct Wait {
  SteadyTime now{};
  Clock clock() {
    return {[] { return WallMs{0}; }, [this] { return now; }};
  }
};

std::string names_of(const std::deque<Event>& events) {
  std::string names;
  for (const Event& event : events) names += event.name + " ";
  return names;
}

}  // namespace

TEST_CASE("an event is written as its id, name and one line of data") {
  CHECK(sse_text({3, 9}, {9, "step", {{"text", "a\nb"}}}) ==
        "id: 3-9\nevent: step\ndata: {\"text\":\"a\\nb\"}\n\n");
}

TEST_CASE("ids of events are two numbers, and nothing else is one") {
  const auto id = event_id_of("3-17");
  REQUIRE(id);
  CHECK(id->start == 3);
  CHECK(id->number == 17);
  for (const char* text :
       {"", "-", "3", "3-", "-1", "3--1", "a-1", "3-1x", "99999999999999999999-1"}) {
    CAPTURE(text);
    CHECK_FALSE(event_id_of(text));
  }
}

TEST_CASE("whoever comes back gets what it missed, in order, with the last preview alone") {
  Wait wait;
  EventHub hub(3, wait.clock());
  hub.publish("j", "started", {});
  hub.publish("j", "preview", {{"n", 1}});
  hub.publish("other", "step", {});
  hub.publish("j", "step", {});
  hub.publish("j", "preview", {{"n", 2}});
  hub.publish("j", "step", {});
  const auto missed = hub.since("j", {3, 1});
  REQUIRE(missed);
  CHECK(names_of(*missed) == "step preview step ");
  CHECK((*missed)[1].data["n"] == 2);
  CHECK(hub.since("j", {3, 6})->empty());
  CHECK_FALSE(hub.since("j", {2, 1}));   // of the server's life before
  CHECK_FALSE(hub.since("j", {3, 99}));  // which was never given
}

TEST_CASE("the last guess of each member is kept beside the last preview of the picture") {
  Wait wait;
  EventHub hub(3, wait.clock());
  hub.publish("j", "preview", {{"n", 1}, {"member", nullptr}});
  hub.publish("j", "preview", {{"n", 2}, {"member", "edges"}});
  hub.publish("j", "step", {});
  hub.publish("j", "preview", {{"n", 3}, {"member", nullptr}});
  hub.publish("j", "preview", {{"n", 4}, {"member", "edges"}});
  hub.publish("j", "preview", {{"n", 5}, {"member", "mini"}});
  REQUIRE(hub.last_preview("j"));
  CHECK(hub.last_preview("j")->data["n"] == 3);
  std::string shown;
  for (const Event& event : hub.last_previews("j")) shown += event.data["n"].dump();
  CHECK(shown == "345");
  CHECK(names_of(*hub.since("j", {3, 0})) == "step preview preview preview ");
  CHECK(names_of(*hub.since("j", {3, 4})) == "preview preview ");
  hub.publish("j", "done", {});
  CHECK(hub.last_previews("j").empty());
}

TEST_CASE("what was forgotten is not given as if it were all") {
  Wait wait;
  EventHub hub(1, wait.clock());
  for (int i = 0; i < 600; ++i) hub.publish("j", "step", {});
  CHECK_FALSE(hub.since("j", {1, 1}));
  CHECK(hub.since("j", {1, 599})->size() == 1);
}

TEST_CASE("a listener may leave while it is told, and logs of ended jobs go after a minute") {
  Wait wait;
  EventHub hub(1, wait.clock());
  int told = 0;
  std::function<void()> leave;
  leave = hub.listen("j", [&](const Event&) {
    ++told;
    leave();
  });
  hub.publish("j", "step", {});
  hub.publish("j", "done", {});
  CHECK(told == 1);
  hub.tidy();
  CHECK(hub.since("j", {1, 0}));
  wait.now += std::chrono::seconds(61);
  hub.tidy();
  CHECK_FALSE(hub.since("j", {1, 0}));
}

#include "serve/config.h"

#include "core/testing.h"
#include "io/mapped_file.h"

using namespace pangu;
using namespace pangu::serve;

TEST_CASE("a configuration is strict: an unknown key names its file and line") {
  const TestFolder folder;
  const std::string file = folder.write("serve.toml", "port = 80\nquota = 3\n");
  const std::string refused = refusal_of([&] { serve_config(file, {}); });
  CHECK(contains(refused, "serve.toml"));
  CHECK(contains(refused, "quota"));
}

TEST_CASE("the page of the server has the table of all keys") {
  DocFieldWriter writer;
  ServeConfig().visit_fields(writer);
  CHECK(contains(io::read_text_file(std::string(kSourceDir) + "/docs/server.md"), writer.table));
}

TEST_CASE("flags are set over the file") {
  const TestFolder folder;
  const std::string file = folder.write("serve.toml", "port = 80\nworkers = 2\n");
  const ServeConfig config = serve_config(file, {"port=0", "models=[\"a b\", \"c\"]"});
  CHECK(config.port == 0);
  CHECK(config.workers == 2);
  CHECK(config.models == std::vector<std::string>{"a b", "c"});
}

TEST_CASE("a server listens beyond loopback only with keys") {
  ServeConfig config;
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) {
    config.host = host;
    CHECK(refusal_of([&] { check_listening(config); }) == "accepted");
  }
  config.host = "0.0.0.0";
  CHECK(contains(refusal_of([&] { check_listening(config); }), "--api-key-file"));
  config.api_key_file = "keys";
  CHECK(refusal_of([&] { check_listening(config); }) == "accepted");
}

TEST_CASE("several workers have a graphics card each") {
  ServeConfig config;
  config.device = "cuda";
  CHECK(worker_config(config, 0)["device"] == "cuda");
  config.workers = 2;
  CHECK(worker_config(config, 1)["device"] == "cuda:1");
}

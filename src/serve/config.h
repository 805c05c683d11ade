// How a server is configured: a TOML file with these keys, and flags over it. Defaults are here and
// nowhere else; docs/server.md explains each key.
#pragma once
#include <string>
#include <vector>

#include "core/fields.h"
#include "core/json_reader.h"

namespace pangu::serve {

struct ServeConfig {
  std::string host = "127.0.0.1";
  int64_t port = 7860;
  std::vector<std::string> hosts;
  std::string data = "pangu-serve";
  std::string queue_url, pictures_url;
  double lease_seconds = 30;
  int64_t worker_port = 0;
  std::string api_key_file;
  std::string page;
  int64_t workers = 1;
  std::string device = "cpu";
  std::string dtype;
  int64_t threads = 0;
  int64_t cache_megabytes = 4096;
  std::string default_model;
  std::vector<std::string> models, loras, controlnets, embeddings, vaes, unets, text_encoders,
      upscalers, refiners;
  double retention_hours = 168;
  int64_t quota_megabytes = 10240;
  int64_t queue = 256, queue_per_key = 64;
  int64_t connections = 256;
  int64_t body_megabytes = 32;
  int64_t pixels = int64_t{1} << 24;
  int64_t count = 100;
  double receive_seconds = 30;

  template <class V>
  void visit_fields(V& v) {
    v("host", host, "Address to listen on; other machines reach it only if there are keys");
    v("port", port, "Port; 0: any free one, which is printed", {0, 65535});
    v("hosts", hosts, "Further names by which browsers and proxies may call this server");
    v("data", data, "Folder of the store of jobs and of the pictures");
    v("queue_url", queue_url,
      "sqlite:FILE, or postgres://... for many machines; empty: a file in `data`");
    v("pictures_url", pictures_url,
      "Folder of the pictures, or s3://BUCKET/PREFIX; empty: a folder in `data`");
    v("lease_seconds", lease_seconds,
      "PostgreSQL: a job is drawn anew if its worker was not heard of for so long", {1, 3600});
    v("worker_port", worker_port,
      "Port of /healthz, /readyz and /metrics of `pangu-draw worker`; 0: none", {0, 65535});
    v("api_key_file", api_key_file, "File of keys, a line NAME KEY or NAME KEY admin each");
    v("page", page, "File of the web page; empty: the one that comes with the program");
    v("workers", workers, "Processes that draw", {1, 64});
    v("device", device, "cpu or cuda; with several workers cuda:0, cuda:1 and so on by turns");
    v("dtype", dtype, "f32 or bf16; empty: the faster one of the machine");
    v("threads", threads, "Threads of a worker; 0: the cores shared out among the workers",
      {0, 1024});
    v("cache_megabytes", cache_megabytes, "Memory of a worker for models that are not in use",
      {0, 1e7});
    v("default_model", default_model, "Name of the model of requests that name none");
    v("models", models, "Folders of models, beside models/ of the program");
    v("loras", loras, "Folders of LoRAs");
    v("controlnets", controlnets, "Folders of ControlNets");
    v("embeddings", embeddings, "Folders of textual inversions");
    v("vaes", vaes, "Folders of autoencoders");
    v("unets", unets, "Folders of denoisers alone");
    v("text_encoders", text_encoders, "Folders of text encoders alone");
    v("upscalers", upscalers, "Folders of ESRGAN upscalers");
    v("refiners", refiners, "Folders of SDXL refiners");
    v("retention_hours", retention_hours,
      "How long finished jobs and uploads are kept; 0: for ever", {0, 1e6});
    v("quota_megabytes", quota_megabytes, "Disk for pictures; the oldest are removed beyond it",
      {1, 1e9});
    v("queue", queue, "Jobs that may wait", {1, 100000});
    v("queue_per_key", queue_per_key, "Jobs of one key that may wait", {1, 100000});
    v("connections", connections, "Connections at once", {1, 65536});
    v("body_megabytes", body_megabytes, "Bytes of an upload", {1, 4096});
    v("pixels", pixels, "Pixels of an uploaded picture", {1, 1 << 28});
    v("count", count, "Pictures of one job", {1, 10000});
    v("receive_seconds", receive_seconds, "Time in which a request must have come whole",
      {1, 3600});
  }
};

// The file (empty: none), then "key=value" over it. Error kBadInput names file, line and key.
ServeConfig serve_config(const std::string& file, const std::vector<std::string>& sets);

// Error kBadInput if the server would listen on more than loopback without keys.
void check_listening(const ServeConfig& config);

// What a worker is told of it.
nlohmann::json worker_config(const ServeConfig& config, int worker);

}  // namespace pangu::serve

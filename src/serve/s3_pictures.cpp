#include "serve/s3_pictures.h"

#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"

namespace pangu::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kScheme = "s3://";
constexpr long kConnectMs = 3000, kRequestMs = 15000;
constexpr size_t kMostBytes = size_t{1} << 30;  // of an answer
constexpr size_t kMostFiles = 512;              // of the folder

std::string environment(const char* name, const char* otherwise = nullptr) {
  const char* value = getenv(name);
  if ((!value || !*value) && otherwise) value = getenv(otherwise);
  return value ? value : "";
}

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  return text;
}

// What is between <name> and </name>.
std::string element_of(const std::string& xml, const std::string& name) {
  const size_t begin = xml.find("<" + name + ">");
  const size_t end = xml.find("</" + name + ">");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
  return xml.substr(begin + name.size() + 2, end - begin - name.size() - 2);
}

size_t take_bytes(char* bytes, size_t, size_t count, void* text) {
  auto& all = *static_cast<std::string*>(text);
  if (all.size() + count > kMostBytes) return 0;
  all.append(bytes, count);
  return count;
}

struct Upload {
  std::string_view left;
};
size_t give_bytes(char* bytes, size_t, size_t count, void* upload) {
  std::string_view& left = static_cast<Upload*>(upload)->left;
  const size_t size = std::min(count, left.size());
  std::memcpy(bytes, left.data(), size);
  left.remove_prefix(size);
  return size;
}

class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list_); }
  void add(const std::string& line) { list_ = curl_slist_append(list_, line.c_str()); }
  curl_slist* list() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

}  // namespace

bool is_s3_url(std::string_view url) { return url.starts_with(kScheme); }

S3Place s3_place_of(const std::string& url) {
  S3Place place;
  const std::string rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  place.bucket = rest.substr(0, slash);
  place.prefix = rest.substr(std::min(slash + 1, rest.size()));
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  if (place.bucket.empty()) throw bad_input("pictures_url", "s3://BUCKET/PREFIX", "no bucket");
  const auto need = [](const char* name) {
    std::string value = environment(name);
    if (value.empty()) throw bad_input("pictures_url", std::string(name) + " in the environment");
    return value;
  };
  place.identity.access_key = need("AWS_ACCESS_KEY_ID");
  place.identity.secret_key = need("AWS_SECRET_ACCESS_KEY");
  place.identity.session_token = environment("AWS_SESSION_TOKEN");
  const std::string region = environment("AWS_REGION", "AWS_DEFAULT_REGION");
  if (!region.empty()) place.identity.region = region;
  place.endpoint = environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
  if (place.endpoint.empty()) {
    place.endpoint = "https://s3." + place.identity.region + ".amazonaws.com";
  }
  while (place.endpoint.ends_with('/')) place.endpoint.pop_back();
  if (!place.endpoint.starts_with("http://") && !place.endpoint.starts_with("https://")) {
    throw bad_input("AWS_ENDPOINT_URL", "http:// or https://", "'" + place.endpoint + "'");
  }
  return place;
}

S3Pictures::S3Pictures(S3Place place) : place_(std::move(place)) {
  std::string name = (fs::temp_directory_path() / "pangu_pictures_XXXXXX").string();
  if (!mkdtemp(name.data())) throw io_error("cannot make the folder", name, errno);
  folder_ = name;
  try {
    if (ask("PUT", "writable", "pangu-draw", "text/plain").status == 404) {
      throw Error(ErrorCode::kIo,
                  "the store of pictures: there is no bucket '" + place_.bucket + "'");
    }
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    throw;
  }
}

S3Pictures::~S3Pictures() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

S3Pictures::Handle S3Pictures::take_handle() const {
  const std::lock_guard lock(mutex_);
  if (handles_.empty()) return Handle(curl_easy_init());
  Handle handle = std::move(handles_.back());
  handles_.pop_back();
  return handle;
}

S3Pictures::Answer S3Pictures::ask(const std::string& method, const std::string& name,
                                   std::string_view body, const std::string& type) const {
  AwsRequest request{method, place_.endpoint.substr(place_.endpoint.find("//") + 2), "", body};
  // An endpoint may have a path of its own, before the bucket.
  const size_t slash = std::min(request.host.find('/'), request.host.size());
  const std::string base = request.host.substr(slash);
  request.host.resize(slash);
  const std::string prefix = place_.prefix.empty() ? "" : place_.prefix + "/";
  request.path = base + encoded_path("/" + place_.bucket + "/" + prefix + name);
  HeaderList headers;
  headers.add("Host: " + request.host);
  headers.add("Expect:");
  if (!type.empty()) headers.add("Content-Type: " + type);
  for (const auto& [key, value] : aws_headers(request, place_.identity, time_now())) {
    headers.add(key + ": " + value);
  }
  Handle handle = take_handle();
  CURL* const curl = handle.get();
  Answer answer;
  Upload upload{body};
  const std::string url =
      place_.endpoint.substr(0, place_.endpoint.find("//") + 2) + request.host + request.path;
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kRequestMs);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  if (method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_bytes);
    curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
  } else if (method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  } else {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  }
  const CURLcode failed = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  if (failed != CURLE_OK) {
    throw StoreAway(std::string("the store of pictures: ") + curl_easy_strerror(failed));
  }
  {
    const std::lock_guard lock(mutex_);
    handles_.push_back(std::move(handle));
  }
  constexpr long kOk = 200, kRedirects = 300, kNotFound = 404, kTooMany = 429, kServerError = 500;
  if (answer.status >= kOk && answer.status < kRedirects) return answer;
  if (answer.status == kNotFound) return answer;
  const std::string why = "the store of pictures: " + method + " was answered by " +
                          std::to_string(answer.status) + " " + element_of(answer.body, "Code");
  if (answer.status >= kServerError || answer.status == kTooMany) throw StoreAway(why);
  throw Error(ErrorCode::kIo, why +
                                  ". Hint: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION "
                                  "and the bucket must fit");
}

void S3Pictures::write(const StoredPicture& picture, std::string_view bytes) const {
  if (ask("PUT", picture.id, bytes, picture.content_type).status == 404) {
    throw Error(ErrorCode::kIo, "the store of pictures: the bucket is gone");
  }
}

std::string S3Pictures::read(const std::string& id) const {
  Answer answer = ask("GET", id);
  if (answer.status == 404) throw Error(ErrorCode::kIo, "picture " + id + ": it is not there");
  return std::move(answer.body);
}

bool S3Pictures::has(const std::string& id) const { return ask("HEAD", id).status != 404; }

void S3Pictures::remove(const std::string& id) const {
  try {
    ask("DELETE", id);
  } catch (const Error&) {
    return;
  }
}

std::string S3Pictures::path_of(const std::string& id) const {
  const fs::path file = folder_ / id;
  std::error_code failed;
  if (fs::exists(file, failed)) {
    fs::last_write_time(file, fs::file_time_type::clock::now(), failed);
  } else {
    trim_folder();
    io::write_file_atomic(file.string(), read(id));
  }
  return file.string();
}

void S3Pictures::trim_folder() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder_, failed)) {
    files.emplace_back(entry.last_write_time(failed), entry.path());
  }
  if (files.size() < kMostFiles) return;
  std::sort(files.begin(), files.end());
  for (size_t i = 0; i < files.size() / 2; ++i) fs::remove(files[i].second, failed);
}

}  // namespace pangu::serve

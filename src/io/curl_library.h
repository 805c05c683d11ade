// The part of libcurl's stable binary interface that io/http_file uses, loaded by name. Its numbers
// are those of <curl/curl.h>, which building does not need; http_file_test compares them where the
// header is installed.
#pragma once
#include <cstddef>

namespace pangu::io {

enum CurlOption : int {
  kCurlNoSignal = 99,
  kCurlMaxRedirects = 68,
  kCurlFollowLocation = 52,
  kCurlConnectTimeoutMs = 156,
  kCurlLowSpeedLimit = 19,
  kCurlLowSpeedTime = 20,
  kCurlWriteData = 10001,
  kCurlUrl = 10002,
  kCurlRange = 10007,
  kCurlHeaderData = 10029,
  kCurlUserAgent = 10018,
  kCurlWriteFunction = 20011,
  kCurlHeaderFunction = 20079,
};
constexpr int kCurlResponseCode = 0x200002;  // of easy_getinfo, a long
constexpr long kCurlGlobalDefault = 3;

enum CurlCode : int {
  kCurlOk = 0,
  kCurlUnsupportedProtocol = 1,
  kCurlUrlMalformed = 3,
  kCurlTooManyRedirects = 47,
  kCurlPeerFailedVerification = 60,
  kCurlBadCaFile = 77,
};

struct CurlLibrary {
  void* (*easy_init)();
  void (*easy_cleanup)(void* handle);
  void (*easy_reset)(void* handle);
  int (*easy_setopt)(void* handle, int option, ...);
  int (*easy_perform)(void* handle);
  int (*easy_getinfo)(void* handle, int what, ...);
  const char* (*easy_strerror)(int code);
};

// Loaded and initialised at the first call, then the same. Error kUnavailable if there is none.
const CurlLibrary& curl_library();

}  // namespace pangu::io

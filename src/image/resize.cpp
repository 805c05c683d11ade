// Separable resampling in float with one table of weights an axis. The maths is the usual one of
// area-aware filters (Heckbert 1989; Keys 1981 for the cubic); results agree with Pillow's.
#include "image/resize.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace pangu::image {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sinc(double x) { return x == 0 ? 1 : std::sin(kPi * x) / (kPi * x); }

double support_of(Filter filter) {
  switch (filter) {
    case Filter::kNearest:
      return 0;
    case Filter::kBox:
      return 0.5;
    case Filter::kBilinear:
      return 1;
    case Filter::kBicubic:
      return 2;
    case Filter::kLanczos3:
      return 3;
  }
  return 0;
}

double value_of(Filter filter, double x) {
  switch (filter) {
    case Filter::kNearest:
      return 0;
    case Filter::kBox:
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Filter::kBilinear:
      return std::max(0.0, 1 - std::abs(x));
    case Filter::kBicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
      return 0;
    }
    case Filter::kLanczos3:
      return std::abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
  return 0;
}

// For every new pixel: the first old one it sees, and the weights from there on; they sum to 1.
struct Taps {
  std::vector<int> first, count;
  std::vector<float> weights;  // `stride` a new pixel
  int stride = 0;
};

Taps taps_of(Filter filter, int old_size, int new_size) {
  const double scale = static_cast<double>(old_size) / new_size;
  const double stretch = std::max(scale, 1.0);
  const double support = support_of(filter) * stretch;
  Taps taps;
  taps.stride = 2 * static_cast<int>(std::ceil(support)) + 1;
  taps.weights.assign(static_cast<size_t>(taps.stride) * new_size, 0);
  std::vector<double> values(taps.stride);
  for (int i = 0; i < new_size; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int last = std::min(old_size, static_cast<int>(center + support + 0.5));
    double sum = 0;
    for (int j = first; j < last; ++j) {
      sum += values[j - first] = value_of(filter, (j - center + 0.5) / stretch);
    }
    for (int j = first; j < last; ++j) {
      taps.weights[static_cast<size_t>(i) * taps.stride + j - first] =
          static_cast<float>(values[j - first] / sum);
    }
    taps.first.push_back(first);
    taps.count.push_back(last - first);
  }
  return taps;
}

// A picture in float, alpha multiplied in, values 0..255.
struct Plane {
  int width, height, channels;
  std::vector<float> values;
};

// Negative lobes overshoot; each pass is cut to the range of the pixels, as an 8-bit pass would be.
float clamped(float value) { return std::clamp(value, 0.f, 255.f); }

template <int kChannels>
Plane resized_rows(const Plane& plane, int width, const Taps& taps) {
  Plane out{width, plane.height, kChannels, {}};
  out.values.resize(static_cast<size_t>(width) * plane.height * kChannels);
  for (int y = 0; y < plane.height; ++y) {
    const float* row = plane.values.data() + static_cast<size_t>(y) * plane.width * kChannels;
    float* to = out.values.data() + static_cast<size_t>(y) * width * kChannels;
    for (int x = 0; x < width; ++x, to += kChannels) {
      const float* from = row + static_cast<size_t>(taps.first[x]) * kChannels;
      const float* weight = taps.weights.data() + static_cast<size_t>(x) * taps.stride;
      float sum[kChannels] = {};
      for (int j = 0; j < taps.count[x]; ++j, from += kChannels) {
        for (int c = 0; c < kChannels; ++c) sum[c] += weight[j] * from[c];
      }
      for (int c = 0; c < kChannels; ++c) to[c] = clamped(sum[c]);
    }
  }
  return out;
}

Plane resized_columns(const Plane& plane, int height, const Taps& taps) {
  Plane out{plane.width, height, plane.channels, {}};
  const size_t stride = static_cast<size_t>(plane.width) * plane.channels;
  out.values.assign(stride * height, 0);
  for (int y = 0; y < height; ++y) {
    float* to = out.values.data() + stride * y;
    for (int j = 0; j < taps.count[y]; ++j) {
      const float* from = plane.values.data() + stride * (taps.first[y] + j);
      const float weight = taps.weights[static_cast<size_t>(y) * taps.stride + j];
      for (size_t i = 0; i < stride; ++i) to[i] += weight * from[i];
    }
    for (size_t i = 0; i < stride; ++i) to[i] = clamped(to[i]);
  }
  return out;
}

Plane plane_of(const Image& image) {
  Plane plane{image.width, image.height, image.channels, {}};
  plane.values.assign(image.pixels.begin(), image.pixels.end());
  if (image.channels == 4) {
    for (size_t i = 0; i < plane.values.size(); i += 4) {
      for (int c = 0; c < 3; ++c) plane.values[i + c] *= plane.values[i + 3] / 255.f;
    }
  }
  return plane;
}

uint8_t rounded(float value) { return static_cast<uint8_t>(clamped(value) + 0.5f); }

Image image_of(const Plane& plane) {
  Image image{plane.width, plane.height, plane.channels, {}};
  image.pixels.resize(plane.values.size());
  for (size_t i = 0; i < plane.values.size(); i += plane.channels) {
    const float alpha = plane.channels == 4 ? plane.values[i + 3] : 255.f;
    const float gain = alpha > 0 ? 255.f / alpha : 0.f;
    for (int c = 0; c < 3; ++c) image.pixels[i + c] = rounded(plane.values[i + c] * gain);
    if (plane.channels == 4) image.pixels[i + 3] = rounded(alpha);
  }
  return image;
}

Image nearest(const Image& image, int width, int height) {
  Image out{width, height, image.channels, {}};
  out.pixels.reserve(static_cast<size_t>(width) * height * image.channels);
  for (int y = 0; y < height; ++y) {
    const int from_y = static_cast<int>((y + 0.5) * image.height / height);
    for (int x = 0; x < width; ++x) {
      const uint8_t* from = image.at(static_cast<int>((x + 0.5) * image.width / width), from_y);
      out.pixels.insert(out.pixels.end(), from, from + image.channels);
    }
  }
  return out;
}

void require(bool condition, const char* what) {
  if (!condition) throw Error(ErrorCode::kInternal, what);
}

// Factor that makes one size out of the other, with the rounding of pixels.
int scaled(int size, double factor) {
  return std::max(1, static_cast<int>(std::lround(size * factor)));
}

}  // namespace

Image resize(const Image& image, int width, int height, Filter filter) {
  require(!image.empty() && width >= 1 && height >= 1, "resize of or to an empty picture");
  if (width == image.width && height == image.height) return image;
  if (filter == Filter::kNearest) return nearest(image, width, height);
  Plane plane = plane_of(image);
  if (width != image.width) {
    const Taps taps = taps_of(filter, image.width, width);
    plane = image.channels == 4 ? resized_rows<4>(plane, width, taps)
                                : resized_rows<3>(plane, width, taps);
  }
  if (height != image.height) {
    plane = resized_columns(plane, height, taps_of(filter, image.height, height));
  }
  return image_of(plane);
}

std::vector<float> resampling_matrix(Filter filter, int old_size, int new_size) {
  require(old_size >= 1 && new_size >= 1, "resampling of or to nothing");
  std::vector<float> matrix(static_cast<size_t>(old_size) * new_size);
  const Taps taps = filter == Filter::kNearest ? Taps{} : taps_of(filter, old_size, new_size);
  for (int i = 0; i < new_size; ++i) {
    float* row = matrix.data() + static_cast<size_t>(i) * old_size;
    if (filter == Filter::kNearest) {
      row[static_cast<int>((i + 0.5) * old_size / new_size)] = 1;
      continue;
    }
    const float* weights = taps.weights.data() + static_cast<size_t>(i) * taps.stride;
    std::copy(weights, weights + taps.count[i], row + taps.first[i]);
  }
  return matrix;
}

Image crop(const Image& image, int x, int y, int width, int height) {
  require(x >= 0 && y >= 0 && width >= 1 && height >= 1 && width <= image.width - x &&
              height <= image.height - y,
          "crop outside the picture");
  Image out{width, height, image.channels, {}};
  out.pixels.reserve(static_cast<size_t>(width) * height * image.channels);
  for (int row = y; row < y + height; ++row) {
    const uint8_t* from = image.at(x, row);
    out.pixels.insert(out.pixels.end(), from, from + static_cast<size_t>(width) * image.channels);
  }
  return out;
}

Image flip_horizontal(const Image& image) {
  Image out = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const uint8_t* from = image.at(image.width - 1 - x, y);
      std::copy(from, from + image.channels, out.at(x, y));
    }
  }
  return out;
}

Image composite_over(const Image& image, Color background) {
  if (image.channels == 3) return image;
  Image out = filled(image.width, image.height, background);
  paste(out, image, {0, 0, image.width, image.height});
  return out;
}

void paste(Image& canvas_, const Image& picture, const Box& box, Filter filter) {
  const Image layer = resize(picture, box.width, box.height, filter);
  const int x_end = std::min(canvas_.width, box.x + box.width);
  const int y_end = std::min(canvas_.height, box.y + box.height);
  for (int y = std::max(0, box.y); y < y_end; ++y) {
    for (int x = std::max(0, box.x); x < x_end; ++x) {
      const uint8_t* over = layer.at(x - box.x, y - box.y);
      uint8_t* under = canvas_.at(x, y);
      const float alpha = layer.channels == 4 ? over[3] / 255.f : 1.f;
      // Porter and Duff's "over"; an RGB canvas is opaque.
      const float below = (canvas_.channels == 4 ? under[3] / 255.f : 1.f) * (1 - alpha);
      const float total = alpha + below;
      if (total <= 0) continue;
      for (int c = 0; c < 3; ++c) under[c] = rounded((over[c] * alpha + under[c] * below) / total);
      if (canvas_.channels == 4) under[3] = rounded(total * 255);
    }
  }
}

Box alpha_bounds(const Image& image, int threshold) {
  if (image.channels == 3) return {0, 0, image.width, image.height};
  int left = image.width, top = image.height, right = -1, bottom = -1;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (image.at(x, y)[3] <= threshold) continue;
      left = std::min(left, x), right = std::max(right, x);
      top = std::min(top, y), bottom = std::max(bottom, y);
    }
  }
  if (right < 0) return {};
  return {left, top, right - left + 1, bottom - top + 1};
}

Image cover(const Image& image, int width, int height, Filter filter) {
  require(!image.empty() && width >= 1 && height >= 1, "cover of or with an empty picture");
  const double factor = std::max(static_cast<double>(width) / image.width,
                                 static_cast<double>(height) / image.height);
  const int w = std::max(width, scaled(image.width, factor));
  const int h = std::max(height, scaled(image.height, factor));
  return crop(resize(image, w, h, filter), (w - width) / 2, (h - height) / 2, width, height);
}

Image contain(const Image& image, int width, int height, Color background, Filter filter) {
  require(!image.empty() && width >= 1 && height >= 1, "contain of or in an empty picture");
  const double factor = std::min(static_cast<double>(width) / image.width,
                                 static_cast<double>(height) / image.height);
  const int w = std::min(width, scaled(image.width, factor));
  const int h = std::min(height, scaled(image.height, factor));
  Image out = filled(width, height, background);
  paste(out, image, {(width - w) / 2, (height - h) / 2, w, h}, filter);
  return out;
}

}  // namespace pangu::image

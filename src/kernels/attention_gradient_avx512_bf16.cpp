// Attention's gradient by AVX-512 and dot products of bf16 pairs. This file is compiled for such
// processors whatever the rest is compiled for: see attention_avx512_bf16.cpp.
#include "kernels/attention_gradient_layout.h"
#include "kernels/attention_pairs.h"

namespace pangu::kernels::avx512_bf16 {
namespace {

// What is known of the queries that are beside each other. Vectors have a lane for each of them.
struct GradientWork {
  alignas(64) uint16_t q[kMostGradientWidth * kMostQueries];  // [width / 2][queries][2]
  alignas(64) uint16_t g[kMostGradientWidth * kMostQueries];
  alignas(64) uint16_t q_columns[kMostGradientWidth * kMostQueries];  // [query pairs][lanes][2]
  alignas(64) uint16_t g_columns[kMostGradientWidth * kMostQueries];
  alignas(64) float dq[kMostGradientWidth * kMostQueries];         // [padded width][queries]
  alignas(64) float weights[kScoreRows * kMostQueries];            // of one panel of keys
  alignas(64) uint16_t weight_rows[kGradientKeys * kMostQueries];  // [keys][queries]
  alignas(64) uint16_t ds_rows[kGradientKeys * kMostQueries];
  alignas(64) uint16_t ds_pairs[kGradientKeys * kMostQueries];  // [key pairs][queries][2]
  alignas(64) float log_sums[kMostQueries];
  alignas(64) float mean[kMostQueries];  // of g v^T by the weights: g o
};

// The parts of a task's workspace.
struct Space {
  uint16_t *keys, *values, *columns;
  float *dk, *dv, *bias;

  Space(void* workspace, const GradientLayout& layout) {
    char* const at = (char*)workspace;
    keys = (uint16_t*)(at + layout.keys), values = (uint16_t*)(at + layout.values);
    columns = (uint16_t*)(at + layout.columns);
    dk = (float*)(at + layout.dk), dv = (float*)(at + layout.dv);
    bias = (float*)(at + layout.bias);
  }
};

// The weights of a panel of keys, which is the row `row` of those that are kept. bias: of its keys,
// in units of log 2, if kBiased.
template <int kVectors, bool kBiased>
[[gnu::noinline]] void weigh_again(const uint16_t* panel, int64_t width, float factor,
                                   const float* bias, int64_t row, GradientWork& work) {
  __m512 s[kScoreRows][kVectors];
  multiply_panel<kVectors>(panel, work.q, width / 2, s);
  const __m512 scale = _mm512_set1_ps(factor);
  for (int j = 0; j < kVectors; ++j) {
    const __m512 log_sum = _mm512_load_ps(work.log_sums + j * kLanes);
    for (int i = 0; i < kScoreRows; ++i) {
      const __m512 t =
          kBiased ? _mm512_sub_ps(_mm512_fmadd_ps(s[i][j], scale, _mm512_set1_ps(bias[i])), log_sum)
                  : _mm512_fmsub_ps(s[i][j], scale, log_sum);
      const __m512 w = exp2_of<Avx512>(t);
      _mm512_store_ps(work.weights + (i * kVectors + j) * kLanes, w);
      _mm256_store_si256((__m256i*)(work.weight_rows + ((row + i) * kVectors + j) * kLanes),
                         (__m256i)_mm512_cvtneps_pbh(w));
    }
  }
}

// The gradients of a panel's scores, out of its weights and values.
template <int kVectors>
[[gnu::noinline]] void score_gradients(const uint16_t* panel, int64_t width, int64_t row,
                                       GradientWork& work) {
  __m512 s[kScoreRows][kVectors];
  multiply_panel<kVectors>(panel, work.g, width / 2, s);
  for (int j = 0; j < kVectors; ++j) {
    const __m512 mean = _mm512_load_ps(work.mean + j * kLanes);
    for (int i = 0; i < kScoreRows; i += 2) {
      __m512 ds[2];
      for (int n = 0; n < 2; ++n) {
        const __m512 w = _mm512_load_ps(work.weights + ((i + n) * kVectors + j) * kLanes);
        ds[n] = _mm512_mul_ps(w, _mm512_sub_ps(s[i + n][j], mean));
        _mm256_store_si256((__m256i*)(work.ds_rows + ((row + i + n) * kVectors + j) * kLanes),
                           (__m256i)_mm512_cvtneps_pbh(ds[n]));
      }
      _mm512_store_si512(work.ds_pairs + ((row + i) / 2 * kVectors + j) * 2 * kLanes,
                         paired(ds[0], ds[1]));
    }
  }
}

// sums[8][16 x vectors] += rows columns, of the keys of a panel. rows: [8][2 pairs], `row` numbers
// apart; columns: [pairs][lanes][2]; sums are `lanes` apart.
template <int kVectors>
[[gnu::noinline]] void add_rows(const uint16_t* rows, int64_t row, int64_t pairs,
                                const uint16_t* columns, int64_t lanes, float* sums) {
  __m512 s[kPanelRows][kVectors];
  for (int i = 0; i < kPanelRows; ++i) {
    for (int j = 0; j < kVectors; ++j) s[i][j] = _mm512_load_ps(sums + i * lanes + j * kLanes);
  }
  for (int64_t k = 0; k < pairs; ++k) {
    __m512bh right[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      right[j] = (__m512bh)_mm512_load_si512(columns + 2 * (k * lanes + j * kLanes));
    }
    for (int i = 0; i < kPanelRows; ++i) {
      int pair;
      __builtin_memcpy(&pair, rows + i * row + 2 * k, sizeof pair);
      const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
      for (int j = 0; j < kVectors; ++j) s[i][j] = _mm512_dpbf16_ps(s[i][j], right[j], left);
    }
  }
  for (int i = 0; i < kPanelRows; ++i) {
    for (int j = 0; j < kVectors; ++j) _mm512_store_ps(sums + i * lanes + j * kLanes, s[i][j]);
  }
}

// The same for all lanes: three vectors at once fill the registers, two are better than three and
// one.
inline void add_all_rows(const uint16_t* rows, int64_t row, int64_t pairs, const uint16_t* columns,
                         int64_t lanes, float* sums) {
  for (int64_t at = 0; at < lanes;) {
    const int64_t left = (lanes - at) / kLanes, take = left == 4 ? 2 : left < 3 ? left : 3;
    const auto add = take == 3 ? add_rows<3> : take == 2 ? add_rows<2> : add_rows<1>;
    add(rows, row, pairs, columns + 2 * at, lanes, sums + at);
    at += take * kLanes;
  }
}

// to: [queries / 2][lanes][2], of rows of `width` numbers of which `there` exist.
inline void load_columns(const uint16_t* from, int64_t row, int64_t there, int64_t width,
                         int64_t queries, int64_t lanes, uint16_t* to) {
  const auto half = [&](int64_t i, int64_t at) {
    const __mmask16 mask = i < there ? Avx512::first(width - at) : (__mmask16)0;
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + i * row + at));
  };
  for (int64_t i = 0; i < queries; i += 2) {
    for (int64_t at = 0; at < lanes; at += kLanes) {
      _mm512_store_si512(to + i * lanes + 2 * at,
                         _mm512_or_si512(half(i, at), _mm512_slli_epi32(half(i + 1, at), 16)));
    }
  }
}

// The product of two rows.
inline float dot_of_rows(const uint16_t* a, const uint16_t* b, int64_t width) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t at = 0; at < width; at += kLanes) {
    const __mmask16 lanes = Avx512::first(width - at);
    sum = _mm512_fmadd_ps(Avx512::load_bf16(a + at, lanes), Avx512::load_bf16(b + at, lanes), sum);
  }
  return _mm512_reduce_add_ps(sum);
}

// to: the first of the task's rows, `row` numbers apart.
template <int kVectors>
inline void write_dq(const GradientWork& work, int64_t there, int64_t width, float scale, float* to,
                     int64_t row) {
  const __m512 factor = _mm512_set1_ps(scale);
  for (int64_t j = 0; j < kVectors; ++j) {
    for (int64_t first = 0; first < width; first += kLanes) {
      __m512i r[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const float* sums = work.dq + ((first + i) * kVectors + j) * kLanes;
        r[i] = first + i < width ? _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(sums), factor))
                                 : _mm512_setzero_si512();
      }
      transpose(r);
      const __mmask16 lanes = Avx512::first(width - first);
      for (int64_t i = 0; i < kLanes && j * kLanes + i < there; ++i) {
        _mm512_mask_storeu_epi32(to + (j * kLanes + i) * row + first, lanes, r[i]);
      }
    }
  }
}

// Takes queries [first, first + there) into the sums of the task's keys.
template <int kVectors>
void take_queries(const AttentionGradientProblem& problem, const GradientLayout& layout,
                  const Space& space, int64_t part, int64_t b, int64_t h, int64_t first,
                  int64_t there, int64_t keys, bool biased, GradientWork& work) {
  const AttentionProblem& p = problem.forward;
  constexpr int64_t kQueries = kVectors * kLanes;
  const int64_t row = p.heads * p.width, query = (b * p.queries + first) * row + h * p.width;
  const uint16_t* q = p.q + b * p.q_batch + first * p.q_row + h * p.width;
  const uint16_t* g = problem.d_out + query;
  load_queries<kVectors>(q, p.q_row, there, p.width, p.width / 2, work.q);
  load_queries<kVectors>(g, row, there, p.width, p.width / 2, work.g);
  load_columns(q, p.q_row, there, p.width, kQueries, layout.lanes, work.q_columns);
  load_columns(g, row, there, p.width, kQueries, layout.lanes, work.g_columns);
  const float* log_sums = p.log_sums + (b * p.heads + h) * p.queries + first;
  for (int64_t i = 0; i < kQueries; ++i) {
    work.log_sums[i] = i < there ? log_sums[i] : __builtin_inff();  // weights of 0
    work.mean[i] = i < there ? dot_of_rows(g + i * row, p.out + query + i * row, p.width) : 0;
  }
  __builtin_memset(work.dq, 0, sizeof(float) * (size_t)(layout.padded_width * kQueries));
  const float factor = p.scale * kLog2E;
  for (int64_t key = 0; key < keys; key += kGradientKeys) {
    const int64_t left = keys - key, here = left < kGradientKeys ? left : kGradientKeys;
    for (int64_t i = 0; i < here; i += kScoreRows) {
      const uint16_t* panel = space.keys + (key + i) * p.width;
      biased ? weigh_again<kVectors, true>(panel, p.width, factor, space.bias + key + i, i, work)
             : weigh_again<kVectors, false>(panel, p.width, factor, nullptr, i, work);
      score_gradients<kVectors>(space.values + (key + i) * p.width, p.width, i, work);
    }
    add_panels<kVectors>(space.columns + key * kPanelRows, keys * kPanelRows, layout.padded_width,
                         work.ds_pairs, here / 2, work.dq);
    for (int64_t i = 0; i < here; i += kScoreRows) {
      add_all_rows(work.weight_rows + i * kQueries, kQueries, kQueries / 2, work.g_columns,
                   layout.lanes, space.dv + (key + i) * layout.lanes);
      add_all_rows(work.ds_rows + i * kQueries, kQueries, kQueries / 2, work.q_columns,
                   layout.lanes, space.dk + (key + i) * layout.lanes);
    }
  }
  write_dq<kVectors>(work, there, p.width, p.scale,
                     problem.dq + part * p.batch * p.queries * row + query, row);
}

// Rounds the sums of the keys, times a factor, to the rows of a head.
inline void write_rows(const float* sums, int64_t lanes, int64_t keys, int64_t width, float factor,
                       uint16_t* to, int64_t row) {
  for (int64_t i = 0; i < keys; ++i) {
    for (int64_t at = 0; at < width; at += kLanes) {
      Avx512::store_bf16(
          to + i * row + at, Avx512::first(width - at),
          _mm512_mul_ps(_mm512_load_ps(sums + i * lanes + at), _mm512_set1_ps(factor)));
    }
  }
}

}  // namespace

void gradient(const AttentionGradientProblem& problem, void* workspace, int64_t begin,
              int64_t end) {
  const AttentionProblem& p = problem.forward;
  const GradientLayout layout = gradient_layout(p);
  const Space space(workspace, layout);
  GradientWork work;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % layout.parts, head = task / layout.parts;
    const int64_t b = head / p.heads, h = head % p.heads;
    const int64_t first_key = part * layout.part_keys, left = p.keys - first_key;
    const int64_t there = left < layout.part_keys ? left : layout.part_keys;
    const int64_t keys = round_up(there, kPanelRows);
    const uint16_t* k = p.k + b * p.k_batch + first_key * p.k_row + h * p.width;
    const uint16_t* v = p.v + b * p.v_batch + first_key * p.v_row + h * p.width;
    pack_keys(k, p.k_row, there, p.width, space.keys);
    pack_keys(v, p.v_row, there, p.width, space.values);
    pack_values(k, p.k_row, there, keys, p.width, space.columns);
    const size_t sums = sizeof(float) * (size_t)(keys * layout.lanes);
    __builtin_memset(space.dk, 0, sums);
    __builtin_memset(space.dv, 0, sums);
    // What lies beyond the last key must not count.
    const bool biased = p.bias || keys > there;
    for (int64_t i = 0; biased && i < keys; ++i) {
      space.bias[i] = i >= there ? -__builtin_inff()
                      : p.bias   ? kLog2E * p.bias[b * p.keys + first_key + i]
                                 : 0.0f;
    }
    for (int64_t first = 0; first < p.queries; first += kMostQueries) {
      const int64_t rest = p.queries - first;
      const int64_t here = rest < kMostQueries ? rest : kMostQueries;
      const auto take = here > 2 * kLanes ? take_queries<3>
                        : here > kLanes   ? take_queries<2>
                                          : take_queries<1>;
      take(problem, layout, space, part, b, h, first, here, keys, biased, work);
    }
    const int64_t row = p.heads * p.width;
    const int64_t to = (b * p.keys + first_key) * row + h * p.width;
    write_rows(space.dk, layout.lanes, there, p.width, p.scale, problem.dk + to, row);
    write_rows(space.dv, layout.lanes, there, p.width, 1, problem.dv + to, row);
  }
}

}  // namespace pangu::kernels::avx512_bf16

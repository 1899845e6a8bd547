// The fused convolution on processors, see operator.py for formula and layouts.
//
// For one receiver and one path the outer products w x_m1 Y_m2 of all its edges are
// summed in registers; coupling coefficients then act once on the sum, not on each edge.
// Channels lie side by side, as many of them in one vector as a register holds. A
// receiver is worked on by one thread, in the order of its edges: results do not depend
// on the number of threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int kPadding = 8;      // all channel counts are multiples of it
constexpr int kMaxDim = 7;       // 2l + 1 up to which loops are unrolled
constexpr int64_t kBlock = 64;   // edges whose radial weights are kept at a time
constexpr int kPoints = 6;       // nodes of the interpolation
constexpr int64_t kShare = 4;    // receivers that a thread takes at a time

#if defined(__AVX512VL__)
constexpr int kRegisters = 32, kRegisterBytes = 64;
#elif defined(__AVX__)
constexpr int kRegisters = 16, kRegisterBytes = 32;
#elif defined(__aarch64__)
constexpr int kRegisters = 32, kRegisterBytes = 16;
#else
constexpr int kRegisters = 16, kRegisterBytes = 16;
#endif

// Channels in a vector. Wider ones than a register are split badly by compilers.
template <typename T> constexpr int lanes() {
  constexpr int fitting = kRegisterBytes / static_cast<int>(sizeof(T));
  return fitting < kPadding ? fitting : kPadding;
}

template <typename T> struct Vector {
  static constexpr int bytes = lanes<T>() * static_cast<int>(sizeof(T));
  typedef T type __attribute__((vector_size(bytes)));
  typedef T loose __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
};

template <typename T> inline typename Vector<T>::type load(const T* p) {
  return *reinterpret_cast<const typename Vector<T>::loose*>(p);
}

template <typename T> inline void store(T* p, const typename Vector<T>::type& v) {
  *reinterpret_cast<typename Vector<T>::loose*>(p) = v;
}

// Accumulators that stay in registers beside a few operands.
constexpr int kAccumulators = kRegisters - 4;

// One row of the plan: `paths` of operator.py, in the same order of columns.
struct Path {
  int64_t input, channel, n_channels, dim_in;
  int64_t sphere, dim_sphere;
  int64_t weight;
  int64_t output, out_channel, dim_out;
  int64_t coupling;
};

// Addresses and sizes as ctypes fills them in; compiled.py has the same list.
template <typename T> struct Problem {
  int64_t n_receivers, n_paths, n_outputs, dim_sphere, n_rows, n_weights;
  double cutoff;
  const T* const* features;         // for each block (n_atoms, 2l + 1, channels)
  const int64_t* feature_channels;  // channels of each block
  const int64_t* rows;              // (n_receivers + 1) first edge of each receiver
  const int64_t* senders;           // (n_edges)
  const int64_t* kinds;             // (n_edges) table of each edge, or null
  const T* lengths;                 // (n_edges)
  const T* sphere;                  // (n_edges, dim_sphere)
  const T* table;                   // (n_kinds, n_rows, n_weights)
  const Path* paths;
  const T* couplings;
  T* const* outputs;                // for each block (n_receivers, 2l + 1, channels)
  const int64_t* output_dims;
  const int64_t* output_channels;
};

struct Term {  // a coupling coefficient that is not zero
  int product, component;
  double value;
};

template <typename T> struct Edges {  // some edges of one receiver, weights ready
  int64_t first, count;
  const int64_t* senders;
  const T* sphere;
  int64_t dim_sphere;
  const T* weights;
  int64_t n_weights;
};

// The sums over edges for M1 components and NV vectors of channels.
template <typename T, int M1, int D2, int NV>
inline void outer_pass(const Edges<T>& edges, const T* features, int64_t row,
                       int64_t channels, const T* sphere, const T* weights, T* sums,
                       int64_t width) {
  typename Vector<T>::type total[M1][D2][NV] = {};
  for (int64_t e = 0; e < edges.count; ++e) {
    const T* x = features + edges.senders[e] * row;
    const T* y = sphere + e * edges.dim_sphere;
    const T* w = weights + e * edges.n_weights;
    for (int a = 0; a < M1; ++a)
      for (int v = 0; v < NV; ++v) {
        const int64_t c = v * lanes<T>();
        const auto weighted = load(w + c) * load(x + a * channels + c);
        for (int b = 0; b < D2; ++b) total[a][b][v] += weighted * y[b];
      }
  }
  for (int a = 0; a < M1; ++a)
    for (int b = 0; b < D2; ++b)
      for (int v = 0; v < NV; ++v)
        store(sums + (a * D2 + b) * width + v * lanes<T>(), total[a][b][v]);
}

template <typename T>
using Outer = void (*)(const Edges<T>&, const T* features, int64_t row, int64_t channels,
                       const T* sphere, const T* weights, T* sums, int64_t width);

// All components, in passes of as many as the registers hold.
template <typename T, int D1, int D2, int NV>
void outer(const Edges<T>& edges, const T* features, int64_t row, int64_t channels,
           const T* sphere, const T* weights, T* sums, int64_t width) {
  constexpr int budget = kAccumulators / (D2 * NV);
  constexpr int most = budget < 1 ? 1 : (budget < D1 ? budget : D1);
  constexpr int passes = (D1 + most - 1) / most;
  constexpr int step = (D1 + passes - 1) / passes;
  constexpr int rest = D1 % step;
  int a = 0;
  for (; a + step <= D1; a += step)
    outer_pass<T, step, D2, NV>(edges, features + a * channels, row, channels, sphere,
                                weights, sums + a * D2 * width, width);
  if constexpr (rest > 0)
    outer_pass<T, rest, D2, NV>(edges, features + a * channels, row, channels, sphere,
                                weights, sums + a * D2 * width, width);
}

// Vectors of channels that one pass takes: more where there are few components.
template <typename T, int D1, int D2> constexpr int widest() {
  constexpr int fitting = kAccumulators / (D1 * D2);
  return fitting < 1 ? 1 : (fitting > 5 ? 5 : fitting);
}

template <typename T, int D1, int D2, int NV>
void outer_channels(const Edges<T>& edges, const T* features, int64_t row,
                    int64_t channels, const T* sphere, const T* weights, T* sums,
                    int64_t width) {
  int64_t c = 0;
  for (; c + NV * lanes<T>() <= width; c += NV * lanes<T>())
    outer<T, D1, D2, NV>(edges, features + c, row, channels, sphere, weights + c,
                         sums + c, width);
  if constexpr (NV > 1)
    if (c < width) {
      // The rest is narrower than NV vectors: hide the full width from it.
      const int64_t left = (width - c) / lanes<T>();
      const auto narrow = [&](auto count) {
        outer<T, D1, D2, decltype(count)::value>(edges, features + c, row, channels,
                                                 sphere, weights + c, sums + c, width);
      };
      if (left == 4) narrow(std::integral_constant<int, (NV > 4 ? 4 : 1)>());
      if (left == 3) narrow(std::integral_constant<int, (NV > 3 ? 3 : 1)>());
      if (left == 2) narrow(std::integral_constant<int, (NV > 2 ? 2 : 1)>());
      if (left == 1) narrow(std::integral_constant<int, 1>());
    }
}

// Any numbers of components; slower, for l > 3.
template <typename T>
void outer_general(const Edges<T>& edges, const T* features, int64_t row,
                   int64_t channels, const T* sphere, const T* weights, T* sums,
                   int64_t width, int64_t dim_in, int64_t dim_sphere) {
  std::fill(sums, sums + dim_in * dim_sphere * width, T(0));
  for (int64_t e = 0; e < edges.count; ++e) {
    const T* x = features + edges.senders[e] * row;
    const T* y = sphere + e * edges.dim_sphere;
    const T* w = weights + e * edges.n_weights;
    for (int64_t a = 0; a < dim_in; ++a)
      for (int64_t c = 0; c < width; c += lanes<T>()) {
        const auto weighted = load(w + c) * load(x + a * channels + c);
        for (int64_t b = 0; b < dim_sphere; ++b) {
          T* sum = sums + (a * dim_sphere + b) * width + c;
          store(sum, load(sum) + weighted * y[b]);
        }
      }
  }
}

template <typename T, int D1, int D2> constexpr Outer<T> chosen() {
  return outer_channels<T, D1, D2, widest<T, D1, D2>()>;
}

// The loop for 2l + 1 = 1, 3, 5, 7 on either side, or null.
template <typename T> Outer<T> specialised(int64_t dim_in, int64_t dim_sphere) {
  static constexpr Outer<T> all[4][4] = {
      {chosen<T, 1, 1>(), chosen<T, 1, 3>(), chosen<T, 1, 5>(), chosen<T, 1, 7>()},
      {chosen<T, 3, 1>(), chosen<T, 3, 3>(), chosen<T, 3, 5>(), chosen<T, 3, 7>()},
      {chosen<T, 5, 1>(), chosen<T, 5, 3>(), chosen<T, 5, 5>(), chosen<T, 5, 7>()},
      {chosen<T, 7, 1>(), chosen<T, 7, 3>(), chosen<T, 7, 5>(), chosen<T, 7, 7>()}};
  if (dim_in > kMaxDim || dim_sphere > kMaxDim) return nullptr;
  return all[dim_in / 2][dim_sphere / 2];
}

// Radial weights of one edge: Lagrange's interpolation between rows of the table.
template <typename T>
void interpolate(const Problem<T>& problem, int64_t edge, T* weights) {
  const int64_t n = problem.n_weights;
  const double r = static_cast<double>(problem.lengths[edge]);
  if (!(r < problem.cutoff)) {
    std::fill(weights, weights + n, T(0));
    return;
  }
  // Rows kPoints/2 - 1 … of the table are r = 0, h, 2h, …, cutoff.
  const int64_t intervals = problem.n_rows - (kPoints - 1);
  const double place = r * (static_cast<double>(intervals) / problem.cutoff);
  const int64_t left = std::min(static_cast<int64_t>(place), intervals - 1);
  const double u = place - static_cast<double>(left);
  T basis[kPoints];
  for (int k = 0; k < kPoints; ++k) {
    double value = 1.0;
    for (int m = 0; m < kPoints; ++m)
      if (m != k) value *= (u + (kPoints / 2 - 1) - m) / (k - m);
    basis[k] = static_cast<T>(value);
  }
  const int64_t kind = problem.kinds ? problem.kinds[edge] : 0;
  const T* row = problem.table + (kind * problem.n_rows + left) * n;
  for (int64_t c = 0; c < n; c += lanes<T>()) {
    auto sum = load(row + c) * basis[0];
    for (int k = 1; k < kPoints; ++k) sum += load(row + k * n + c) * basis[k];
    store(weights + c, sum);
  }
}

// The plan with what can be prepared once for all receivers.
template <typename T> class Worker {
 public:
  explicit Worker(const Problem<T>& problem) : problem_(problem) {
    for (int64_t p = 0; p < problem.n_paths; ++p) {
      const Path& path = problem.paths[p];
      loops_.push_back(specialised<T>(path.dim_in, path.dim_sphere));
      terms_.push_back(nonzero(path));
      n_sums_ = std::max(n_sums_, path.dim_in * path.dim_sphere * path.n_channels);
    }
  }

  // Take receivers until none is left.
  void run(std::atomic<int64_t>& next) const {
    std::vector<T> weights(kBlock * problem_.n_weights);
    std::vector<T> sums(n_sums_);
    for (;;) {
      const int64_t start = next.fetch_add(kShare);
      if (start >= problem_.n_receivers) return;
      const int64_t stop = std::min(start + kShare, problem_.n_receivers);
      for (int64_t i = start; i < stop; ++i) receive(i, weights.data(), sums.data());
    }
  }

 private:
  std::vector<Term> nonzero(const Path& path) const {
    std::vector<Term> terms;
    const T* value = problem_.couplings + path.coupling;
    for (int64_t product = 0; product < path.dim_in * path.dim_sphere; ++product)
      for (int64_t component = 0; component < path.dim_out; ++component, ++value)
        if (*value != T(0))
          terms.push_back({static_cast<int>(product), static_cast<int>(component),
                           static_cast<double>(*value)});
    return terms;
  }

  void receive(int64_t receiver, T* weights, T* sums) const {
    for (int64_t k = 0; k < problem_.n_outputs; ++k) {
      const int64_t size = problem_.output_dims[k] * problem_.output_channels[k];
      T* output = problem_.outputs[k] + receiver * size;
      std::fill(output, output + size, T(0));
    }
    const int64_t end = problem_.rows[receiver + 1];
    for (int64_t e = problem_.rows[receiver]; e < end; e += kBlock) {
      const int64_t count = std::min(kBlock, end - e);
      for (int64_t k = 0; k < count; ++k)
        interpolate(problem_, e + k, weights + k * problem_.n_weights);
      const Edges<T> edges{e,
                           count,
                           problem_.senders + e,
                           problem_.sphere + e * problem_.dim_sphere,
                           problem_.dim_sphere,
                           weights,
                           problem_.n_weights};
      for (int64_t p = 0; p < problem_.n_paths; ++p) add_path(p, receiver, edges, sums);
    }
  }

  void add_path(int64_t p, int64_t receiver, const Edges<T>& edges, T* sums) const {
    const Path& path = problem_.paths[p];
    const int64_t channels = problem_.feature_channels[path.input];
    const int64_t row = path.dim_in * channels;
    const T* features = problem_.features[path.input] + path.channel;
    const T* sphere = edges.sphere + path.sphere;
    const T* weights = edges.weights + path.weight;
    if (loops_[p])
      loops_[p](edges, features, row, channels, sphere, weights, sums, path.n_channels);
    else
      outer_general(edges, features, row, channels, sphere, weights, sums,
                    path.n_channels, path.dim_in, path.dim_sphere);
    couple(path, terms_[p], receiver, sums);
  }

  void couple(const Path& path, const std::vector<Term>& terms, int64_t receiver,
              const T* sums) const {
    const int64_t channels = problem_.output_channels[path.output];
    T* output = problem_.outputs[path.output] + receiver * path.dim_out * channels +
                path.out_channel;
    for (const Term& term : terms) {
      const T value = static_cast<T>(term.value);
      const T* sum = sums + term.product * path.n_channels;
      T* out = output + term.component * channels;
      for (int64_t c = 0; c < path.n_channels; c += lanes<T>())
        store(out + c, load(out + c) + load(sum + c) * value);
    }
  }

  const Problem<T>& problem_;
  std::vector<Outer<T>> loops_;
  std::vector<std::vector<Term>> terms_;
  int64_t n_sums_ = 0;
};

template <typename T> int convolve(const Problem<T>& problem, int64_t n_threads) {
  try {
    const Worker<T> worker(problem);
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    const auto work = [&] {
      try {
        worker.run(next);
      } catch (const std::exception&) {
        failed = true;
      }
    };
    const int64_t useful = (problem.n_receivers + kShare - 1) / kShare;
    std::vector<std::thread> others;
    try {
      for (int64_t t = 1; t < std::min(n_threads, useful); ++t) others.emplace_back(work);
    } catch (const std::system_error&) {
      // The system gives no more threads: those that run do all of it.
    }
    work();
    for (std::thread& other : others) other.join();
    return failed ? 1 : 0;
  } catch (const std::exception&) {
    return 1;
  }
}

}  // namespace

extern "C" {

int mimyria_convolve_float(const void* problem, int64_t n_threads) {
  return convolve(*static_cast<const Problem<float>*>(problem), n_threads);
}

int mimyria_convolve_double(const void* problem, int64_t n_threads) {
  return convolve(*static_cast<const Problem<double>*>(problem), n_threads);
}
}

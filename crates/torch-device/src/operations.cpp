// Operations of LibTorch that tch does not bind. A tensor is a pointer to at::Tensor, as torch-sys has it. What fails gives its message,
// to be freed by free_message; what succeeds gives null.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/stack.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

namespace {

using Handle = at::Tensor *;

template <typename Work> char *guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception that is no std::exception");
  }
}

std::vector<at::Tensor> list(const Handle *tensors, size_t count) {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (size_t place = 0; place < count; place++) {
    all.push_back(*tensors[place]);
  }
  return all;
}

std::optional<at::Tensor> optional(Handle tensor) {
  return tensor == nullptr ? std::nullopt : std::make_optional(*tensor);
}

std::optional<int64_t> window(int64_t size) {
  return size < 0 ? std::nullopt : std::make_optional(size);
}

} // namespace

extern "C" {

void torch_device_free_message(char *message) { free(message); }

// Documents [tokens, heads, width] one behind the other, from place cumulative[n] to cumulative[n + 1]; bf16 and float16.
char *torch_device_flash_packed(Handle *result, Handle query, Handle keys, Handle values, Handle cumulative, int64_t longest,
                                double scale, int64_t window_left) {
  return guarded([&] {
    auto left = window(window_left);
    auto right = left ? std::make_optional<int64_t>(0) : std::nullopt;
    auto found = at::_flash_attention_forward(*query, *keys, *values, *cumulative, *cumulative, longest, longest, 0.0, true, false,
                                              scale, left, right);
    *result = new at::Tensor(std::get<0>(found));
  });
}

// The same for any kind of number.
char *torch_device_efficient_packed(Handle *result, Handle query, Handle keys, Handle values, Handle cumulative, int64_t longest,
                                    double scale, bool with_gradient, int64_t window_size) {
  return guarded([&] {
    constexpr int64_t causal = 1;
    auto found = at::_efficient_attention_forward(query->unsqueeze(0), keys->unsqueeze(0), values->unsqueeze(0), std::nullopt,
                                                  *cumulative, *cumulative, longest, longest, 0.0, causal, with_gradient, scale,
                                                  std::nullopt, window(window_size));
    *result = new at::Tensor(std::get<0>(found).squeeze(0));
  });
}

// The norm of each tensor, as one tensor [count] in float32.
char *torch_device_norms(Handle *result, const Handle *tensors, size_t count) {
  return guarded([&] {
    auto norms = at::_foreach_norm(list(tensors, count), 2, at::kFloat);
    *result = new at::Tensor(at::stack(norms));
  });
}

char *torch_device_copy(const Handle *into, const Handle *from, size_t count) {
  return guarded([&] { at::_foreach_copy_(list(into, count), list(from, count)); });
}

char *torch_device_add(const Handle *into, const Handle *from, size_t count) {
  return guarded([&] { at::_foreach_add_(list(into, count), list(from, count), 1); });
}

char *torch_device_adamw(const Handle *weights, const Handle *gradients, const Handle *first, const Handle *second, size_t count,
                         Handle step, Handle gradient_divisor, Handle is_skipped, double rate, double first_beta, double second_beta,
                         double weight_decay, double epsilon) {
  return guarded([&] {
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(list(weights, count), list(gradients, count), list(first, count), list(second, count), {}, steps, rate,
                      first_beta, second_beta, weight_decay, epsilon, false, false, optional(gradient_divisor), optional(is_skipped));
  });
}

// A copy on a GPU of a tensor in the host's memory, through memory that the GPU reads by itself.
char *torch_device_upload(Handle *result, Handle tensor, int index) {
  return guarded([&] {
    auto device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
    *result = new at::Tensor(tensor->pin_memory().to(device, tensor->scalar_type(), true));
  });
}

// Whether LibTorch may send scaled dot-product attention to cuDNN.
void torch_device_allow_cudnn_attention(bool allowed) { at::globalContext().setSDPUseCuDNN(allowed); }

// Bytes of a GPU: free, of all programs; all there are; of this program's tensors at most so far, and in its hands now.
char *torch_device_memory(int index, size_t *free_bytes, size_t *total_bytes, size_t *peak_bytes, size_t *reserved_bytes) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    auto device = static_cast<c10::DeviceIndex>(index);
    auto stats = allocator->getDeviceStats(device);
    auto info = allocator->getMemoryInfo(device);
    *free_bytes = info.first;
    *total_bytes = info.second;
    *peak_bytes = static_cast<size_t>(stats.allocated_bytes[all].peak);
    *reserved_bytes = static_cast<size_t>(stats.reserved_bytes[all].current);
    if (stats.allocated_bytes[all].current <= stats.reserved_bytes[all].current) {
      // What the allocator holds and no tensor uses is free for this program.
      *free_bytes += stats.reserved_bytes[all].current - stats.allocated_bytes[all].current;
    }
  });
}
}

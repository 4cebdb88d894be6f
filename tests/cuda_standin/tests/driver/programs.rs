//! The programs: each is run by the test that names it, in a process of its own.

use cudarc::driver::CudaContext;
use cudarc::driver::result::{self, DriverError, device, graph, module, stream};
use cudarc::driver::sys::{
    self, CUdevice_attribute, CUdeviceptr, CUfunction, CUmodule, CUresult, CUstream,
};
use std::ffi::{CString, c_void};
use std::sync::Arc;

const TEXT: &str = include_str!("../../kernels/compute.ptx");
const CAPTURE: sys::CUstreamCaptureMode =
    sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

/// A context with the kernels' module and a stream.
struct Gpu {
    context: Arc<CudaContext>,
    module: CUmodule,
    stream: CUstream,
}

impl Gpu {
    fn new() -> Self {
        let context = CudaContext::new(0).unwrap();
        let module = load(TEXT).unwrap();
        let stream = stream::create(stream::StreamKind::NonBlocking).unwrap();
        Self { context, module, stream }
    }

    fn function(&self, name: &str) -> CUfunction {
        // SAFETY: the module lives.
        unsafe { module::get_function(self.module, CString::new(name).unwrap()) }.unwrap()
    }

    fn upload<T>(&self, values: &[T]) -> CUdeviceptr {
        // SAFETY: the memory is new, and the call copies before it returns.
        unsafe {
            let to = result::malloc_sync(size_of_val(values)).unwrap();
            result::memcpy_htod_async(to, values, self.stream).unwrap();
            to
        }
    }

    fn download<T: Default + Clone>(
        &self,
        from: CUdeviceptr,
        count: usize,
    ) -> Result<Vec<T>, DriverError> {
        let mut values = vec![T::default(); count];
        // SAFETY: the stream is synchronized before the values are used.
        unsafe {
            result::memcpy_dtoh_async(&mut values, from, self.stream)?;
            stream::synchronize(self.stream)?;
        }
        Ok(values)
    }

    fn launch(
        &self,
        name: &str,
        [blocks, threads]: [u32; 2],
        arguments: &mut [*mut c_void],
    ) -> Result<(), DriverError> {
        let (grid, block) = ((blocks, 1, 1), (threads, 1, 1));
        // SAFETY: each test passes what its kernel takes.
        unsafe {
            result::launch_kernel(self.function(name), grid, block, 0, self.stream, arguments)
        }
    }
}

fn load(text: &str) -> Result<CUmodule, DriverError> {
    let text = CString::new(text).unwrap();
    // SAFETY: a text that ends.
    unsafe { module::load_data(text.as_ptr().cast()) }
}

fn argument<T>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

fn values(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|index| ((index * 37) % 101) as f32 * step - 1.0).collect()
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn device() {
    let context = CudaContext::new(0).unwrap();
    assert_eq!(context.name().unwrap(), "Fleetmark software GPU");
    assert_eq!(context.compute_capability().unwrap(), (7, 5));
    assert_eq!(context.uuid().unwrap().bytes.map(i8::cast_unsigned), *b"FLMKsoftwareGPU0");
    let attribute = |attribute| context.attribute(attribute).unwrap();
    assert_eq!(attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    assert_eq!(
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
        65_536
    );
    let total = context.total_mem().unwrap();
    assert_eq!(context.mem_get_info().unwrap(), (total, total));
    let mut version = 0;
    // SAFETY: a place for the answer.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().unwrap();
    assert_eq!(version, 13_000);
    assert!(CudaContext::new(1).is_err());
    // cudarc's own copies, fills and allocations.
    let stream = context.new_stream().unwrap();
    let copied = stream.clone_htod(&[1_u32, 2, 3]).unwrap();
    assert_eq!(stream.clone_dtoh(&copied).unwrap(), [1, 2, 3]);
    let zeros = stream.alloc_zeros::<f32>(100).unwrap();
    assert_eq!(stream.clone_dtoh(&zeros).unwrap(), [0.0; 100]);
    let start = stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    let end = stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    assert!(start.elapsed_ms(&end).unwrap() >= 0.0);
    context.synchronize().unwrap();
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn vector_add() {
    let gpu = Gpu::new();
    // The module has a variable.
    assert_eq!(gpu.context.mem_get_info().map(|(free, total)| total - free), Ok(256));
    let (a, b) = (values(1000, 0.5), values(1000, 0.25));
    let (on_a, on_b, n) = (gpu.upload(&a), gpu.upload(&b), 1000_i32);
    // SAFETY: new memory.
    let out = unsafe { result::malloc_sync(4000) }.unwrap();
    let mut arguments = [argument(&on_a), argument(&on_b), argument(&out), argument(&n)];
    gpu.launch("vector_add", [8, 128], &mut arguments).unwrap();
    let wanted: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert_eq!(gpu.download::<f32>(out, 1000).unwrap(), wanted);
    for address in [on_a, on_b, out] {
        // SAFETY: freed once, after the last use.
        unsafe { result::free_sync(address) }.unwrap();
    }
    // SAFETY: nothing uses the module any more.
    unsafe { module::unload(gpu.module) }.unwrap();
    let (free, total) = gpu.context.mem_get_info().unwrap();
    assert_eq!(free, total);
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn sums_and_products() {
    let gpu = Gpu::new();
    let rows = values(12 * 50, 0.1);
    let (from, columns) = (gpu.upload(&rows), 50_i32);
    // SAFETY: new memory.
    let out = unsafe { result::malloc_sync(12 * 4) }.unwrap();
    let mut arguments = [argument(&from), argument(&out), argument(&columns)];
    gpu.launch("row_sums", [12, 64], &mut arguments).unwrap();
    for (row, sum) in rows.chunks(50).zip(gpu.download::<f32>(out, 12).unwrap()) {
        let exact: f64 = row.iter().map(|value| f64::from(*value)).sum();
        assert!((f64::from(sum) - exact).abs() < 1e-4);
    }
    let k = 24;
    let halves = |count: usize, step: f32| -> Vec<half::f16> {
        values(count, step).into_iter().map(half::f16::from_f32).collect()
    };
    let (a, b) = (halves(16 * k, 0.03), halves(8 * k, 0.07));
    let (on_a, on_b, on_k) = (gpu.upload(&a), gpu.upload(&b), 24_i32);
    // SAFETY: new memory.
    let out = unsafe { result::malloc_sync(16 * 8 * 4) }.unwrap();
    let mut arguments = [argument(&on_a), argument(&on_b), argument(&out), argument(&on_k)];
    gpu.launch("mma_product", [1, 32], &mut arguments).unwrap();
    for (at, value) in gpu.download::<f32>(out, 16 * 8).unwrap().into_iter().enumerate() {
        let (row, column) = (at / 8, at % 8);
        let terms = (0..k).map(|i| a[row * k + i].to_f64() * b[column * k + i].to_f64());
        let (sum, size) =
            terms.fold((0.0, 0.0), |(sum, size), term: f64| (sum + term, size + term.abs()));
        assert!((f64::from(value) - sum).abs() <= size * k as f64 * 2f64.powi(-24));
    }
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn graph() {
    let gpu = Gpu::new();
    let (a, b, n) = (values(1000, 0.5), vec![1.0_f32; 1000], 1000_i32);
    let (on_a, on_b) = (gpu.upload(&a), gpu.upload(&b));
    // SAFETY: new memory; what is captured lives until the last launch.
    unsafe {
        let sums = result::malloc_sync(4000).unwrap();
        let counts = result::malloc_sync(64).unwrap();
        stream::begin_capture(gpu.stream, CAPTURE).unwrap();
        let mut arguments = [argument(&on_a), argument(&on_b), argument(&sums), argument(&n)];
        gpu.launch("vector_add", [8, 128], &mut arguments).unwrap();
        let mut arguments = [argument(&sums), argument(&on_b), argument(&on_a), argument(&n)];
        gpu.launch("vector_add", [4, 256], &mut arguments).unwrap();
        result::memset_d8_async(counts, 3, 64, gpu.stream).unwrap();
        result::memcpy_dtod_async(counts, on_a, 32, gpu.stream).unwrap();
        let captured = stream::end_capture(gpu.stream).unwrap();
        let mut nodes = 0;
        sys::cuGraphGetNodes(captured, std::ptr::null_mut(), &raw mut nodes).result().unwrap();
        assert_eq!(nodes, 4);
        assert_eq!(gpu.download::<f32>(on_a, 1000).unwrap(), a, "nothing has run yet");
        let flags = sys::CUgraphInstantiate_flags(0);
        let exec = graph::instantiate(captured, flags).unwrap();
        for _ in 0..3 {
            graph::launch(exec, gpu.stream).unwrap();
        }
        let wanted: Vec<f32> = a.iter().map(|a| a + 6.0).collect();
        assert_eq!(gpu.download::<f32>(on_a, 1000).unwrap(), wanted);
        let copied = gpu.download::<f32>(counts, 8).unwrap();
        assert_eq!(copied, wanted[..8]);
        assert_eq!(gpu.download::<u8>(counts + 32, 32).unwrap(), [3; 32]);
        graph::exec_destroy(exec).unwrap();
        graph::destroy(captured).unwrap();
    }
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn captures() {
    let gpu = Gpu::new();
    // SAFETY: handles live as long as they are used.
    unsafe {
        stream::begin_capture(gpu.stream, CAPTURE).unwrap();
        let error = stream::synchronize(gpu.stream).unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        let error = stream::end_capture(gpu.stream).unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        // A second stream joins a capture by an event, and leaves it with its end.
        let other = stream::create(stream::StreamKind::NonBlocking).unwrap();
        let memory = gpu.upload(&[0_u8; 16]);
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).unwrap();
        stream::begin_capture(gpu.stream, CAPTURE).unwrap();
        result::event::record(event, gpu.stream).unwrap();
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        stream::wait_event(other, event, flags).unwrap();
        result::memset_d8_async(memory, 9, 16, other).unwrap();
        let captured = stream::end_capture(gpu.stream).unwrap();
        let instantiated = graph::instantiate(captured, sys::CUgraphInstantiate_flags(0)).unwrap();
        assert_eq!(gpu.download::<u8>(memory, 16).unwrap(), [0; 16]);
        graph::launch(instantiated, gpu.stream).unwrap();
        assert_eq!(gpu.download::<u8>(memory, 16).unwrap(), [9; 16]);
        // Work outside a capture can't be waited for in one.
        result::event::record(event, other).unwrap();
        stream::begin_capture(gpu.stream, CAPTURE).unwrap();
        let error = stream::wait_event(gpu.stream, event, flags).unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    }
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn fault() {
    let gpu = Gpu::new();
    let (a, n) = (gpu.upload(&values(1000, 0.5)), 1001_i32);
    // SAFETY: new memory.
    let out = unsafe { result::malloc_sync(4000) }.unwrap();
    let mut arguments = [argument(&a), argument(&a), argument(&out), argument(&n)];
    gpu.launch("vector_add", [8, 128], &mut arguments).unwrap();
    // SAFETY: the stream lives.
    let error = unsafe { stream::synchronize(gpu.stream) }.unwrap_err();
    assert_eq!(error.0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    let text = error.error_string().unwrap().to_str().unwrap();
    assert!(text.contains("kernel `vector_add`") && text.contains("thread (104, 0, 0)"), "{text}");
    let error = gpu.download::<f32>(a, 1).unwrap_err();
    assert_eq!(error.0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, "the context has failed for good");
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn out_of_memory() {
    let context = CudaContext::new(0).unwrap();
    let (free, total) = context.mem_get_info().unwrap();
    assert_eq!((free, total), (1 << 20, 1 << 20));
    // SAFETY: memory that isn't used.
    unsafe {
        let half = result::malloc_sync(1 << 19).unwrap();
        let error = result::malloc_sync((1 << 19) + 1).unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        result::free_sync(half).unwrap();
        result::malloc_sync(1 << 20).unwrap();
    }
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn old_driver() {
    let _context = CudaContext::new(0).unwrap();
    assert_eq!(load(TEXT).unwrap_err().0, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    let broken = TEXT.replace(".version 6.5", ".version 6.4").replacen("add.f32", "and.f32", 1);
    let error = load(&broken).unwrap_err();
    assert_eq!(error.0, CUresult::CUDA_ERROR_INVALID_PTX);
    let text = error.error_string().unwrap().to_str().unwrap().to_owned();
    assert!(text.contains(": line ") && text.ends_with("unknown instruction `and.f32`"), "{text}");
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn no_device() {
    assert_eq!(result::init().unwrap_err().0, CUresult::CUDA_ERROR_NO_DEVICE);
    assert!(CudaContext::new(0).is_err());
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn failing_call() {
    let _context = CudaContext::new(0).unwrap();
    // SAFETY: memory that isn't used.
    let results = [(); 3].map(|()| unsafe { result::malloc_sync(16) }.map_err(|error| error.0));
    assert_eq!(results.map(|result| result.is_ok()), [true, false, true]);
    assert_eq!(results[1], Err(CUresult::CUDA_ERROR_UNKNOWN));
}

#[test]
#[ignore = "needs the software GPU on the loader's path: run by the test that names it"]
fn two_devices() {
    let (one, two) = (CudaContext::new(0).unwrap(), CudaContext::new(1).unwrap());
    assert_eq!(device::get_count().unwrap(), 2);
    assert_ne!(one.uuid().unwrap().bytes, two.uuid().unwrap().bytes);
    let stream = one.new_stream().unwrap();
    let kept = stream.alloc_zeros::<u8>(1 << 20).unwrap();
    let used = |context: &CudaContext| context.mem_get_info().map(|(free, total)| total - free);
    assert_eq!((used(&one), used(&two)), (Ok(1 << 20), Ok(0)));
    drop(kept);
}

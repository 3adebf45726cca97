//! What an interceptor does that does not care which streams begin and end.

/// Makes an interceptor of a type whose part is done by its protocol alone.
macro_rules! heeds_no_streams {
    ($interceptor:ty) => {
        impl ::rtc::interceptor::Interceptor for $interceptor {
            fn bind_local_stream(&mut self, _: &::rtc::interceptor::StreamInfo) {}

            fn unbind_local_stream(&mut self, _: &::rtc::interceptor::StreamInfo) {}

            fn bind_remote_stream(&mut self, _: &::rtc::interceptor::StreamInfo) {}

            fn unbind_remote_stream(&mut self, _: &::rtc::interceptor::StreamInfo) {}
        }
    };
}

pub(super) use heeds_no_streams;

package app

// HTTPConfig is the part of the configuration that concerns HTTP/1 and HTTP/2
// bodies and normalisation. The zero value is Suricata's default.
type HTTPConfig struct {
	// RequestBodyLimit and ResponseBodyLimit are how many decoded bytes of a
	// body are kept; 0 means 100 KiB, negative means no limit.
	RequestBodyLimit, ResponseBodyLimit int
}

func (h *HTTPConfig) defaults() {
	if h.RequestBodyLimit == 0 {
		h.RequestBodyLimit = 100 << 10
	}
	if h.ResponseBodyLimit == 0 {
		h.ResponseBodyLimit = 100 << 10
	}
}

func newHTTP1() parser { return nil }

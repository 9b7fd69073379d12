package eve

import "github.com/garita/garita/app"

// dnp3Indications are the names of internal indications (IEEE 1815 §4.2.2.6).
var dnp3Indications = [...]struct {
	bit  uint16
	name string
}{
	{0x8000, "device_restart"}, {0x4000, "device_trouble"}, {0x2000, "local_control"}, {0x1000, "need_time"},
	{0x0800, "class_3_events"}, {0x0400, "class_2_events"}, {0x0200, "class_1_events"}, {0x0100, "all_stations"},
	{0x0080, "reserved_1"}, {0x0040, "reserved_2"}, {0x0020, "config_corrupt"}, {0x0010, "already_executing"},
	{0x0008, "event_buffer_overflow"}, {0x0004, "parameter_error"}, {0x0002, "object_unknown"}, {0x0001, "no_func_code_support"},
}

func dnp3Object(o *object, t *app.DNP3Tx) {
	o.open("dnp3")
	fc := uint8(0)
	if len(t.Message) > 1 {
		fc = t.Message[1]
	}
	switch {
	case !t.Response():
		o.str("type", "request")
	case fc == 130:
		o.str("type", "unsolicited_response")
	default:
		o.str("type", "response")
	}
	o.open("control")
	for i, n := range [...]string{"dir", "pri", "fcb", "fcv"} {
		o.bool(n, t.Control>>(7-i)&1 != 0)
	}
	o.uint("function_code", uint64(t.Control&15))
	o.close()
	o.uint("src", uint64(t.Src))
	o.uint("dst", uint64(t.Dst))
	o.open("application")
	if len(t.Message) > 0 {
		o.open("control")
		for i, n := range [...]string{"fir", "fin", "con", "uns"} {
			o.bool(n, t.Message[0]>>(7-i)&1 != 0)
		}
		o.uint("sequence", uint64(t.Message[0]&15))
		o.close()
	}
	o.uint("function_code", uint64(fc))
	if len(t.Objects) > 0 {
		o.openArray("objects")
		for i := range t.Objects {
			x := &t.Objects[i]
			o.item()
			o.open("")
			o.uint("group", uint64(x.Group))
			o.uint("variation", uint64(x.Variation))
			o.uint("qualifier", uint64(x.Qualifier))
			o.uint("prefix_code", uint64(x.Qualifier>>4&7))
			o.uint("range_code", uint64(x.Qualifier&15))
			o.uint("start", uint64(x.Start))
			o.uint("stop", uint64(x.Stop))
			o.uint("count", uint64(x.Count))
			o.close()
		}
		o.closeArray()
	}
	o.bool("complete", t.ReadAll)
	o.close()
	if v, ok := t.Indications(); ok {
		o.open("iin")
		if v != 0 {
			o.openArray("indicators")
			for _, x := range dnp3Indications {
				if v&x.bit != 0 {
					o.item()
					o.b = append(append(append(o.b, '"'), x.name...), '"')
				}
			}
			o.closeArray()
		}
		o.close()
	}
	o.close()
}

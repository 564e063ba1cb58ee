package native

/*
#include <smf/core.h>
#include <smf/engine.h>
*/
import "C"

// addTime fills in where the time goes, and the limits that were met.
func (r *Stats) addTime(s *C.struct_smf_core_stats) {
	r.Events, r.Spins = uint64(s.events), uint64(s.spins)
	for i := range r.Batches {
		r.Batches[i] = uint64(s.batches[i])
	}
	r.BusyNs, r.SpinningNs, r.AsleepNs = uint64(s.busy_ns), uint64(s.spinning_ns), uint64(s.asleep_ns)
	r.PausedInFlight, r.PausedRunning = uint64(s.paused_in_flight), uint64(s.paused_running)
	r.PausedMemory, r.PausedUnsent = uint64(s.paused_memory), uint64(s.paused_unsent)
	r.Starved = uint64(s.starved)
	r.UnsentExceeded, r.SendTimeouts = uint64(s.unsent_exceeded), uint64(s.send_timeouts)
	r.InFlight, r.ConnectionsUnsent = uint64(s.in_flight), uint64(s.connections_unsent)
	r.addLevel2(s)
}

// addLevel2 fills in what connections of level 2 count.
func (r *Stats) addLevel2(s *C.struct_smf_core_stats) {
	r.ConnectionsLevel2 = uint64(s.connections_level2)
	r.Hellos, r.HellosRefused = uint64(s.hellos), uint64(s.hellos_refused)
	r.Pings, r.Goaways, r.OneWay = uint64(s.pings), uint64(s.goaways), uint64(s.one_way)
	r.Cancels, r.CancelsIgnored = uint64(s.cancels), uint64(s.cancels_ignored)
	r.RefusedTooMany, r.RefusedDraining = uint64(s.refused_too_many), uint64(s.refused_draining)
	r.FramesDropped, r.RefusedRunning = uint64(s.frames_dropped), uint64(s.refused_running)
}

// Settings are the engine's settings with every default filled in. SpinMicros is never 0.
func (e *Engine) Settings() Config {
	var s C.struct_smf_engine_config
	s.size = C.sizeof_struct_smf_engine_config
	if C.smf_engine_settings(e.c, &s) != C.SMF_OK {
		panic("smf: the library refuses the size of smf_engine_config that it had when it was opened; this is a bug in smf")
	}
	return Config{
		Cores: int(s.cores), Net: netNames[s.net], SpinMicros: int(s.spin_us), Baton: s.baton != 0, Pin: s.pin != 0,
		MemoryBytes: int64(s.memory_bytes), FrameBytesMax: int64(s.frame_size_bytes_max),
		UnsentBytesMax: int64(s.unsent_bytes_max), InFlightMax: int(s.in_flight_max),
		RunningMax: int(s.running_max), ConnectionsMax: int(s.connections_max),
		HeaderTimeoutMs: int(s.header_timeout_ms), BodyTimeoutMs: int(s.body_timeout_ms),
		IdleTimeoutMs: int(s.idle_timeout_ms), SendTimeoutMs: int(s.send_timeout_ms),
		Level: int(s.level), CreditBytes: int64(s.credit_bytes),
		MessageBytesMax: int64(s.message_size_bytes_max), Compressions: uint32(s.compressions),
	}
}

var netNames = map[C.uint32_t]string{C.SMF_NET_AUTO: "auto", C.SMF_NET_EPOLL: "epoll"}

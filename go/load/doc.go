// Package load measures servers: it calls methods, by a schedule or as fast as they answer, and says how
// long calls took, how many failed, and whether the figures are the server's or its own.
//
// An open loop sends by a Schedule: each call has a time at which it is due, whether or not earlier ones were
// answered, and its latency counts from then. A server that stands still for a second is seen by every call
// that was due in that second. A closed loop, without a Schedule, keeps a number of calls in flight: it finds
// out what a server can do at most, and its latencies say little about users, who don't wait for each other.
//
// What is called is a Target: a server of this library (Server), or anything behind two small interfaces.
//
//	target := load.Server("127.0.0.1:11225")
//	result, err := load.Run(ctx, load.Options{
//		Target:   target,
//		Methods:  []load.Method{{Name: "SmfStorage.Get", ID: demo.SmfStorageGetMethodID, Payloads: load.Fixed(request)}},
//		Schedule: load.Poisson(load.Constant(10_000), 1),
//		Duration: 10 * time.Second,
//	})
package load

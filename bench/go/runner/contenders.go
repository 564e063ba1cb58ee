package main

import (
	"slices"
	"strconv"
)

// contender is a server that is measured.
type contender struct {
	label       string
	program     string // in build/bin
	module      string // folder of the Go module that it is built from
	packagePath string // of the Go program; "": ./build.sh build built it
	bytes       []string
	typed       []string
	environment []string
	engineLine  bool // its second line of output says which engine it uses
	ownLoad     bool // it is its own load client
	works       bool // it has the methods that compute
	adminLine   bool // a further line of output says where its counters are
	cores       int  // it has so many, and as many CPUs; 0: one
}

// Go gives a program that is pinned to one CPU one P. A core's driver is in C most of the time and keeps
// it: our server needs one P more than it has cores. The others are faster with what Go chooses.
var twoPs, threePs = []string{"GOMAXPROCS=2"}, []string{"GOMAXPROCS=3"}

const (
	smfGo    = "smf-go"
	smfGoEco = "smf-go-sleeping"
	smfGoTwo = "smf-go-two-cores"
	smfGoOne = "smf-go-crowded"
	smfServe = "smf-serve"

	smfTraffic = "smf-level-2"

	smfC     = "smf-c"
	bareC    = "bare-c"
	bareCEco = "bare-c-sleeping"
	plainGo  = "plain-go"
	grpcGo   = "grpc-go"

	smfGoUncounted = "smf-go-uncounted"
	smfGoLarge     = "smf-go-large-frames"
)

var contenders = map[string]contender{
	smfGo: {
		label: "smf, Go handler", program: "smf-bench-go", packagePath: "./bench/go/server",
		bytes: []string{"--poll"}, typed: []string{"--poll", "--mode", "typed"},
		environment: twoPs, engineLine: true, works: true,
	},
	// The same without any option.
	smfGoEco: {
		label: "smf, Go handler", program: "smf-bench-go", packagePath: "./bench/go/server",
		environment: twoPs, engineLine: true, works: true,
	},
	// The first without statistics by method.
	smfGoUncounted: {
		label: "smf, uncounted", program: "smf-bench-go", packagePath: "./bench/go/server",
		bytes: []string{"--poll", "--no-method-stats"}, typed: []string{"--poll", "--mode", "typed", "--no-method-stats"},
		environment: twoPs, engineLine: true, works: true,
	},
	// The first, and a frame may be as large as a message: for those who speak level 1.
	smfGoLarge: {
		label: "smf, large frames", program: "smf-bench-go", packagePath: "./bench/go/server",
		bytes: []string{"--poll", "--frame-bytes", strconv.Itoa(64 << 20)}, environment: twoPs, engineLine: true, works: true,
	},
	// Two cores, and the same with every connection on one of them.
	smfGoTwo: {
		label: "smf, two cores", program: "smf-bench-go", packagePath: "./bench/go/server",
		bytes: []string{"--cores", "2", "--admin", "127.0.0.1:0"}, environment: threePs,
		engineLine: true, works: true, adminLine: true, cores: 2,
	},
	smfGoOne: {
		label: "smf, all on one core", program: "smf-bench-go", packagePath: "./bench/go/server",
		bytes: []string{"--cores", "1", "--admin", "127.0.0.1:0"}, environment: threePs,
		engineLine: true, works: true, adminLine: true, cores: 2,
	},
	// What users start, with the bounds that they set.
	smfServe: {
		label: "smf serve", program: "smf",
		typed:       []string{"serve", "--demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--memory", strconv.Itoa(hostileMemory)},
		environment: twoPs, engineLine: true, adminLine: true,
	},
	// Serves what is attacked at level 2, and counts its handlers.
	smfTraffic: {
		label: "smf, Go service of level 2", program: trafficProgram, packagePath: "./go/internal/traffic/hostile2",
		typed:       []string{"serve", strconv.Itoa(hostileMemory), strconv.Itoa(trafficInFlight), strconv.Itoa(trafficRunning)},
		environment: twoPs, engineLine: true, adminLine: true,
	},
	smfC: {
		label: "smf, C handler", program: "smf-bench-echo-smf",
		bytes: []string{"--spin-us", "-2"}, typed: []string{"--spin-us", "-2", "--typed"},
	},
	bareC: {
		label: "bare epoll, C", program: "smf-bench-echo-epoll",
		bytes: []string{"--spin-us", "-2"}, typed: []string{"--spin-us", "-2", "--typed"},
	},
	bareCEco: {
		label: "bare epoll, C, sleeping", program: "smf-bench-echo-epoll",
		typed: []string{"--spin-us", "50", "--typed"},
	},
	plainGo: {
		label: "plain Go", program: "smf-bench-plain", packagePath: "./bench/go/plain",
		typed: []string{"--mode", "typed"}, works: true,
	},
	grpcGo: {
		label: "gRPC-Go", program: "smf-bench-grpc", module: "bench/peers", packagePath: "./grpcecho",
		typed: []string{"serve"}, ownLoad: true,
	},
}

// args is the server's command line. workRounds is how much a millisecond of computing is.
func (c contender) args(typed bool, workRounds int) []string {
	args := c.bytes
	if typed {
		args = c.typed
	}
	if c.works {
		args = append(slices.Clone(args), "--work-rounds", strconv.Itoa(workRounds))
	}
	return args
}

// Command clientgo-elector takes part in an election the way controllers written
// in Go do: client-go's leader election on a Lease, releasing when stopped.
//
// It prints one JSON object per line and event:
//
//	{"event":"work","identity":"a","time":1767225600000000000,"monotonic":81234567890}
//
// "time" is in nanoseconds since 1970, "monotonic" in nanoseconds of the kernel's
// CLOCK_MONOTONIC, which every process of one machine reads alike. Both are taken
// before the belief they go with is checked, so a process that is frozen between
// the two is not counted as believing what it no longer could know.
//
// Events: "contending" (once, at the start), "new-leader" (its identity, as seen
// by this candidate), "started-leading", "work" (again and again while it may
// work), "stopped-working" (it may not any more), "stopped-leading" (client-go calls it also when a candidate that never led
// is stopped), "stopped" (the last line after SIGTERM or SIGINT).
//
// As in controllers, work may go on until the context handed to OnStartedLeading
// is cancelled. After a loss it contends again, unless -exit-on-loss is given.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

type settings struct {
	kubeconfig    string
	namespace     string
	lease         string
	identity      string
	leaseDuration time.Duration
	renewDeadline time.Duration
	retryPeriod   time.Duration
	workPeriod    time.Duration
	exitOnLoss    bool
	release       bool
}

type line struct {
	Event     string `json:"event"`
	Identity  string `json:"identity"`
	Time      int64  `json:"time"`
	Monotonic int64  `json:"monotonic"`
}

type instant struct{ wall, monotonic int64 }

func now() instant {
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		panic(err)
	}
	return instant{wall: time.Now().UnixNano(), monotonic: clock.Nano()}
}

// printer writes whole lines, each with one system call: nothing is lost in a
// buffer when the process is killed.
type printer struct{ mutex sync.Mutex }

func (p *printer) print(at instant, event, identity string) {
	text, err := json.Marshal(line{event, identity, at.wall, at.monotonic})
	if err != nil {
		panic(err)
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, "cannot report:", err)
		os.Exit(1)
	}
}

func parse() settings {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "file that names the server and the user")
	flag.StringVar(&s.namespace, "namespace", "default", "namespace of the Lease")
	flag.StringVar(&s.lease, "lease", "", "name of the Lease")
	flag.StringVar(&s.identity, "id", "", "identity of this candidate")
	flag.DurationVar(&s.leaseDuration, "lease-duration", 15*time.Second, "how long others wait")
	flag.DurationVar(&s.renewDeadline, "renew-deadline", 10*time.Second, "when a leader gives up")
	flag.DurationVar(&s.retryPeriod, "retry-period", 2*time.Second, "time between two tries")
	flag.DurationVar(&s.workPeriod, "work-period", 20*time.Millisecond, "time between two work lines")
	flag.BoolVar(&s.exitOnLoss, "exit-on-loss", false, "exit with code 1 after losing the Lease")
	flag.BoolVar(&s.release, "release", true, "release the Lease when stopped")
	flag.Parse()
	if s.kubeconfig == "" || s.lease == "" || s.identity == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "-kubeconfig, -lease and -id are needed, and nothing but flags")
		os.Exit(2)
	}
	return s
}

// work reports until it may not work any more, and then closes done.
func (s settings) work(ctx context.Context, out *printer, done chan<- struct{}) {
	defer close(done)
	out.print(now(), "started-leading", s.identity)
	ticker := time.NewTicker(s.workPeriod)
	defer ticker.Stop()
	for {
		at := now()
		if ctx.Err() != nil {
			out.print(at, "stopped-working", s.identity)
			return
		}
		out.print(at, "work", s.identity)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// term contends, leads at most once, and returns when that is over.
func (s settings) term(ctx context.Context, lock resourcelock.Interface, out *printer) error {
	var worker chan struct{}
	var mutex sync.Mutex
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   s.leaseDuration,
		RenewDeadline:   s.renewDeadline,
		RetryPeriod:     s.retryPeriod,
		ReleaseOnCancel: s.release,
		Name:            s.lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				done := make(chan struct{})
				mutex.Lock()
				worker = done
				mutex.Unlock()
				s.work(ctx, out, done)
			},
			OnStoppedLeading: func() { out.print(now(), "stopped-leading", s.identity) },
			OnNewLeader:      func(leader string) { out.print(now(), "new-leader", leader) },
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	mutex.Lock()
	defer mutex.Unlock()
	if worker != nil {
		<-worker
	}
	return nil
}

func main() {
	s := parse()
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	lock, err := resourcelock.NewFromKubeconfig(
		resourcelock.LeasesResourceLock, s.namespace, s.lease,
		resourcelock.ResourceLockConfig{Identity: s.identity}, config, s.renewDeadline)
	if err != nil {
		klog.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	out := &printer{}
	out.print(now(), "contending", s.identity)
	for ctx.Err() == nil {
		if err := s.term(ctx, lock, out); err != nil {
			klog.Fatal(err)
		}
		if s.exitOnLoss && ctx.Err() == nil {
			os.Exit(1)
		}
	}
	out.print(now(), "stopped", s.identity)
}

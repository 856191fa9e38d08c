package fsm

import "time"

var testEpoch = Epoch{0xee, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func hash32(fill byte) (h [32]byte) {
	for i := range h {
		h[i] = fill
	}
	return h
}

func sampleFacts() HiveFacts {
	return HiveFacts{
		URL: "http://gpu1:7835", Version: "1.0.0",
		Devices: []Device{{"gpu0", "cuda", 24 << 30}, {"gpu1", "cuda", 24 << 30}},
		Labels:  []Label{{"rack", "r1"}, {"zone", "eu"}},
		Models:  []EngineModel{{Engine: "builtin", Ref: "builtin/markov", VRAM: 1 << 20, Slots: 8, Context: 2048}},
	}
}

func sampleJob() Job {
	return Job{
		ID: "01J00000000000000000000001", Tenant: "acme", Model: "builtin/markov", API: "openai",
		Path: "/v1/chat/completions", Priority: PriorityBatch, Stream: true, OnLoss: LossRestart,
		Grace: 10 * time.Second, Session: "s1", Pin: "hive-1", Labels: []Label{{"zone", "eu"}},
		Rank: 5*time.Second + 1, NotBefore: 7 * time.Second,
		Holders: []Holder{{"queen-1", "01JBOOT"}}, AbandonAt: 9 * time.Second, Deadline: time.Minute,
		IdempotencyKey: "once", RequestHash: hash32(7), Body: Body{Data: []byte(`{"n":1}`), Size: 7},
	}
}

// samples has one command of each number with every field set, as the golden files keep it.
func samples() []Command {
	return []Command{
		&Genesis{ClusterID: "01JCLUSTER", Epoch: testEpoch, Level: 1, AdminKey: hash32(1)},
		&RaiseLevel{Level: 1},
		&PutQueen{Queen{ID: "queen-1", Boot: "01JBOOT", Role: RoleVoter, HTTP: "http://q1:7833",
			Raft: "q1:7832", Gossip: "q1:7831", Version: "1.0.0", Level: 1}},
		&DropQueen{ID: "queen-1"},
		&PutKey{Key{Hash: hash32(2), Tenant: "acme", Role: KeyUser, Name: "ci", Created: 1700000000000}},
		&RegisterHive{ID: "hive-1", Boot: "01JHIVEBOOT", Incarnation: 3, Mode: "network", Facts: sampleFacts()},
		&HiveFactsChanged{ID: "hive-1", Facts: sampleFacts()},
		&SetHiveStatus{ID: "hive-1", Status: HiveOffline},
		&HiveLeaving{ID: "hive-1"},
		&SetHiveDesired{ID: "hive-1", Desired: HiveDrain},
		&DropHive{ID: "hive-1"},
		&Submit{Job: sampleJob(), IdempotencyTTL: 24 * time.Hour},
		&Assign{Job: "j1", Worker: "w1", Attempt: 2, Begin: Begin{Seq: 10, I: 8}},
		&Started{Job: "j1", Attempt: 2, TTFT: 40 * time.Millisecond},
		&EndJob{Job: "j1", Attempt: 2, State: JobFailed, Events: 12, TTFT: 40 * time.Millisecond,
			FinishReason: "stop", Usage: Usage{3, 9}, Failure: &Failure{CodeWorkerFailed, "exit status 1"}},
		&Requeue{Job: "j1", Attempt: 2, Reason: Failure{"agent_restarted", "hive-1 started again"},
			NotBefore: 2 * time.Second, Avoid: "hive-1", Counted: true, AbandonAt: 12 * time.Second},
		&Ready{Job: "j1"},
		&WishEnd{Job: "j1", Reason: EndDeadline},
		&Hold{Job: "j1", Holder: Holder{"queen-2", "01JB2"}},
		&Release{Job: "j1", Holder: Holder{"queen-2", "01JB2"}, AbandonAt: 11 * time.Second},
		&Spawn{ID: "w1", Hive: "hive-1", Device: "gpu0", Model: "builtin/markov", Engine: "builtin", Slots: 8, VRAM: 1 << 20},
		&SetWorkerState{ID: "w1", State: WorkerFailed, Slots: 4, Progress: 0.5, Failure: &Failure{"start_timeout", "5m"}},
		&BlockHive{Model: "builtin/markov", Hive: "hive-1", Fails: 2, Until: 3 * time.Minute, Failure: Failure{"exit", "oom"}},
		&ExpireJob{ID: "j1"},
		&ExpireKey{Tenant: "acme", Key: "once"},
		&ExpireWorker{ID: "w1"},
		&RegisterHive{ID: "hive-1", Boot: "01JHIVEBOOT", Incarnation: 3, Mode: "network", Facts: laterFacts()},
		&HiveFactsChanged{ID: "hive-1", Facts: laterFacts()},
		&Submit{Job: laterJob(), IdempotencyTTL: 24 * time.Hour},
		&Spawn{ID: "w1", Hive: "hive-1", Device: "gpu0", Model: "qwen", Engine: "llama.cpp", Slots: 4, VRAM: 5 << 30,
			Context: 8192, LoadFor: 7 * time.Minute},
		&SetWorkerState{ID: "w1", State: WorkerStopped, Slots: 4, Progress: 0.5, Failure: &Failure{"evicted", "for llama"}, Holds: true},
		&FreeWorker{ID: "w1"},
		&PutModel{sampleModel()},
		&DropModel{Ref: "qwen"},
		&ExpireModel{Ref: "qwen"},
		&SetCopy{Copy{Model: "qwen", Hive: "hive-1", State: CopyFailed, Bytes: 1 << 30, Digest: "sha256:ab",
			Failure: &Failure{"digest_mismatch", "other bytes"}, Wanted: true}},
		&DropCopy{Model: "qwen", Hive: "hive-1"},
	}
}

func laterFacts() HiveFacts {
	f := sampleFacts()
	f.Engines = []string{"llama.cpp", "vllm"}
	return f
}

func laterJob() Job {
	j := sampleJob()
	j.ContentType, j.KeepAlive = "multipart/form-data; boundary=x", KeepFor(10*time.Minute)
	return j
}

func sampleModel() Model {
	return Model{
		Ref: "qwen", Aliases: []string{"qwen-small", "small"}, Source: "hf:org/repo/file.gguf", Engine: "llama.cpp",
		Digest: "sha256:ab", Size: 4 << 30, Memory: Memory{Weights: 4 << 30, KV: 1 << 30, Overhead: 1 << 28}, VRAM: 6 << 30,
		Slots: 4, Context: 8192, IdleTTL: 10 * time.Minute, MinReplicas: 1, MaxReplicas: 2, Labels: []Label{{"zone", "eu"}}, Pin: true,
		Failure: &Failure{"not_found", "no such file"},
	}
}

func sampleBatch() *Batch {
	return &Batch{Base: 41, Epoch: testEpoch, Now: 90 * time.Second, Wall: 1700000000123, Level: 1, Commands: samples()}
}

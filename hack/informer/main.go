// Command informer keeps copies of objects with client-go's informers, as most controllers written in Go do, and prints them when asked.
//
//	informer KUBECONFIG GROUP/VERSION/RESOURCE...      (the core group is written as "core")
//
// Each line on standard input asks for the copies; the answer is one line of JSON: resource → copy → "namespace/name" →
// resourceVersion. There are three copies of each resource: "objects" (the informer's own), "metadata" (of an informer that asks
// for PartialObjectMetadata) and "events" (put together from what the handlers were told). It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: informer KUBECONFIG GROUP/VERSION/RESOURCE"))
	}
	copies, err := start(os.Args[1], os.Args[2:])
	if err != nil {
		fail(err)
	}
	fmt.Println("synced")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer := map[string]map[string]versions{}
		for name, copied := range copies {
			answer[name] = copied.dump()
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "informer:", err)
	os.Exit(1)
}

// versions is "namespace/name" → resourceVersion.
type versions map[string]string

// copied is what the informers of one resource hold.
type copied struct {
	objects, metadata cache.Store
	mutex             sync.Mutex
	events            versions
}

func start(kubeconfig string, resources []string) (map[string]*copied, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// Without resyncs: a copy that needs them to be right would not show here.
	whole := dynamicinformer.NewDynamicSharedInformerFactory(objects, 0)
	bare := metadatainformer.NewSharedInformerFactory(partial, 0)
	copies := map[string]*copied{}
	for _, name := range resources {
		parts := strings.Split(name, "/")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is not GROUP/VERSION/RESOURCE", name)
		}
		resource := schema.GroupVersionResource{Group: strings.TrimPrefix(parts[0], "core"), Version: parts[1], Resource: parts[2]}
		informer := whole.ForResource(resource).Informer()
		copy := &copied{objects: informer.GetStore(), metadata: bare.ForResource(resource).Informer().GetStore(), events: versions{}}
		if _, err := informer.AddEventHandler(copy.handlers()); err != nil {
			return nil, err
		}
		copies[name] = copy
	}
	stop := context.Background().Done()
	whole.Start(stop)
	bare.Start(stop)
	whole.WaitForCacheSync(stop)
	bare.WaitForCacheSync(stop)
	return copies, nil
}

func (c *copied) handlers() cache.ResourceEventHandlerFuncs {
	set := func(object any) {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		key, version := identity(object)
		c.events[key] = version
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = unknown.Obj
			}
			c.mutex.Lock()
			defer c.mutex.Unlock()
			key, _ := identity(object)
			delete(c.events, key)
		},
	}
}

func identity(object any) (string, string) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		fail(err)
	}
	return accessor.GetNamespace() + "/" + accessor.GetName(), accessor.GetResourceVersion()
}

func (c *copied) dump() map[string]versions {
	dump := map[string]versions{"objects": list(c.objects), "metadata": list(c.metadata), "events": {}}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for key, version := range c.events {
		dump["events"][key] = version
	}
	return dump
}

func list(store cache.Store) versions {
	found := versions{}
	for _, object := range store.List() {
		key, version := identity(object)
		found[key] = version
	}
	return found
}

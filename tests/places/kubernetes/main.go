// What a Kubernetes API server says of manifests, without one: Kubernetes' own code decodes them strictly, fills in its
// defaults, validates, and judges the pods by the Pod Security Standards.
//
//	kubernetes FILE…    a line of JSON for each object
//	kubernetes expand   from stdin {"variables": [{"name", "value"}…], "texts": […]}; both with their $(NAME)s replaced
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
	psapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	v1 "k8s.io/api/core/v1"
)

// Object is what becomes of one document of a file.
type Object struct {
	File     string         `json:"file"`
	Kind     string         `json:"kind"`
	Name     string         `json:"name"`
	Errors   []string       `json:"errors"`
	Warnings []string       `json:"warnings"`
	Object   runtime.Object `json:"object"`
	// The pod that it is, or that is made of it, with Kubernetes' defaults.
	Pod *v1.PodTemplateSpec `json:"pod,omitempty"`
	// What forbids the pod by the Pod Security Standards, by level.
	Security map[string]string `json:"security,omitempty"`
}

func main() {
	err := errors.New("usage: kubernetes FILE… | expand")
	if len(os.Args) == 2 && os.Args[1] == "expand" {
		err = expand(os.Stdin, os.Stdout)
	} else if len(os.Args) > 1 {
		err = check(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// expand goes as the kubelet does: a variable may name those before it, and the command any of them.
func expand(input io.Reader, output io.Writer) error {
	var asked struct {
		Variables []v1.EnvVar `json:"variables"`
		Texts     []string    `json:"texts"`
	}
	if err := json.NewDecoder(input).Decode(&asked); err != nil {
		return err
	}
	variables := map[string]string{}
	mapping := expansion.MappingFuncFor(variables)
	for _, variable := range asked.Variables {
		variables[variable.Name] = expansion.Expand(variable.Value, mapping)
	}
	for i, text := range asked.Texts {
		asked.Texts[i] = expansion.Expand(text, mapping)
	}
	return json.NewEncoder(output).Encode(map[string]any{"variables": variables, "texts": asked.Texts})
}

func check(files []string) error {
	security, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	output := json.NewEncoder(os.Stdout)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(file))
		for {
			text, err := documents.Read()
			if err == io.EOF {
				break
			} else if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			object := judge(text, security)
			object.File = name
			if err := output.Encode(object); err != nil {
				return err
			}
		}
		file.Close()
	}
	return nil
}

func judge(text []byte, security policy.Evaluator) (object Object) {
	codecs := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	decoded, kind, err := codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		object.Errors = []string{err.Error()}
		return
	}
	object.Kind = kind.String()
	legacyscheme.Scheme.Default(decoded)
	object.Object = decoded
	internal, err := legacyscheme.Scheme.ConvertToVersion(decoded, runtime.InternalGroupVersioner)
	if err != nil {
		object.Errors = []string{err.Error()}
		return
	}
	// The namespace is that of who applies it.
	meta := internal.(metav1.ObjectMetaAccessor).GetObjectMeta()
	meta.SetNamespace("default")
	object.Name = meta.GetName()

	errs, template := validate(internal)
	for _, err := range errs {
		object.Errors = append(object.Errors, err.Error())
	}
	if template == nil {
		return
	}
	object.Warnings = podutil.GetWarningsForPodTemplate(context.Background(), field.NewPath("template"), template, nil)
	object.Pod = new(v1.PodTemplateSpec)
	if err := corev1.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(template, object.Pod, nil); err != nil {
		object.Errors = append(object.Errors, err.Error())
		return
	}
	object.Security = map[string]string{}
	for _, level := range []psapi.Level{psapi.LevelBaseline, psapi.LevelRestricted} {
		wanted := psapi.LevelVersion{Level: level, Version: psapi.LatestVersion()}
		result := policy.AggregateCheckResults(security.EvaluatePod(wanted, &object.Pod.ObjectMeta, &object.Pod.Spec))
		if !result.Allowed {
			object.Security[string(level)] = result.ForbiddenDetail()
		}
	}
	return
}

// validate does what the API server does when an object is created.
func validate(internal runtime.Object) (field.ErrorList, *core.PodTemplateSpec) {
	switch object := internal.(type) {
	case *core.ServiceAccount:
		return validation.ValidateServiceAccount(object), nil
	case *core.ConfigMap:
		return validation.ValidateConfigMap(object), nil
	case *core.Namespace:
		object.Namespace = ""
		return validation.ValidateNamespace(object), nil
	case *core.Pod:
		template := &core.PodTemplateSpec{ObjectMeta: object.ObjectMeta, Spec: object.Spec}
		return validation.ValidatePodCreate(object, podutil.GetValidationOptionsFromPodTemplate(template, nil)), template
	case *apps.Deployment:
		template := &object.Spec.Template
		return appsvalidation.ValidateDeployment(object, podutil.GetValidationOptionsFromPodTemplate(template, nil)), template
	case *batch.CronJob:
		template := &object.Spec.JobTemplate.Spec.Template
		return batchvalidation.ValidateCronJobCreate(object, podutil.GetValidationOptionsFromPodTemplate(template, nil)), template
	case *batch.Job:
		// The API server gives each job a selector and the labels that it looks for.
		template, uid := &object.Spec.Template, "00000000-0000-0000-0000-000000000000"
		labels := map[string]string{
			batch.LegacyJobNameLabel: object.Name, batch.JobNameLabel: object.Name,
			batch.LegacyControllerUidLabel: uid, batch.ControllerUidLabel: uid,
		}
		object.UID = "00000000-0000-0000-0000-000000000000"
		object.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batch.ControllerUidLabel: uid}}
		if template.Labels == nil {
			template.Labels = map[string]string{}
		}
		for name, value := range labels {
			template.Labels[name] = value
		}
		options := batchvalidation.JobValidationOptions{
			PodValidationOptions:  podutil.GetValidationOptionsFromPodTemplate(template, nil),
			RequirePrefixedLabels: true,
		}
		return batchvalidation.ValidateJob(object, options), template
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("nothing is known of how a %T is validated", internal))}, nil
}

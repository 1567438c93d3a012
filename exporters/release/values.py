"""The values that tfhub.dev allows in the metadata of a page."""

LICENSES = tuple(
  """
  apache-2.0 bsd-2-clause bsd-3-clause gpl-2.0 gpl-3.0 lgpl-2.0 lgpl-2.1
  lgpl-3.0 mit mpl-2.0 cddl-1.0 epl-2.0 cc-by-nc-4.0 cc-by-sa-4.0 custom
  """.split()
)

TASKS = tuple(
  """
  audio-command-detection audio-embedding audio-event-classification
  audio-paralinguistics audio-pitch-extraction audio-speech-synthesis
  audio-synthesis audio-stt image-aesthetic-quality image-augmentation
  image-classification image-classification-logits image-classifier
  image-depth-estimation image-extrapolation image-feature-vector
  image-generator image-object-detection image-others image-pose-detection
  image-rnn-agent image-segmentation image-style-transfer
  image-super-resolution image-text-detection image-text-recognition
  text-sequence-alignment text-classification text-embedding text-generation
  text-language-model text-preprocessing text-question-answering
  text-retrieval-question-answering text-segmentation text-to-mel
  video-audio-text video-classification video-generation video-text
  image-denoising image-dehazing image-deraining image-deblurring
  image-enhancement
  """.split()
)

DATASETS = tuple(
  """
  3dmovies 1-billion-word-benchmark ade20k apolloscape audioset ava bair
  bair-robot-pushing-dataset bbc-xsum bdd birds-or-bicycles blendedmvs
  bookscorpus camvid cifar-10 cifar-100 cnn-dailymail-summarization coco-2017
  cord-19 celeba celeba-hq charades chinese-treebank-6-0 cityscapes clue-web
  commoncrawl dagm2007 dakshina diml-indoor discofuse div2k google-news
  gigaword-summarization giga5 hrwsi idd imagenet imagenet-ilsvrc-2012-cls
  imagenet-21k imet-collection-2019 inaturalist inaturalist-inat-2017
  inaturalist-and-plants-subset-of-imagenet-21k internal-agripredict-dataset
  irs isaid isprs kth kinetics-400 kinetics-600 kitti koniq-10k librilight
  librispeech ljspeech lsun-bedroom lol mapillary megadepth mnli
  multilingual-wikipedia multiple natural-questions nyu-depth-v2
  noaa-pifsc-harp openimagesv4 paq-2-piq pascal-context pascal-voc-2012
  plant-village pmindia medline-pubmed redweb qnli qqp silero-de silero-en
  silero-es spaq squad squad-2-0 sst-2 stories svhn thorsten tartanair
  translation twitter wiki40b wikipedia wikipedia-and-bookscorpus
  wikisplit-dataset wmt14 wmt16 wsvd youtube-8m scannet stl10 suim sunrgbd
  vgallery vkitti2 cppe-5 other
  """.split()
)

ARCHITECTURES = tuple(
  """
  amoebanet-a-n18-f448 bert bigan bigbigan biggan biggan-deep centernet cnn
  conformer dan deeplab-mobilenetv2-ade20k-train
  deeplab-mobilenetv2-coco-voc-trainval
  deeplab-mobilenetv2-dm05-coco-voc-trainval
  deeplab-mobilenetv3-large-cityscapes-trainfine
  deeplab-xception65-ade20k-train deeplab-xception65-cityscapes-trainfine
  deeplab-xception65-coco-voc-trainaug delf efficientdet efficientnet
  efficientnet-b0 efficientnet-b1 efficientnet-b2 efficientnet-b3
  efficientnet-b4 efficientnet-b5 efficientnet-b6 efficientnet-b7
  efficientnet-v2 elmo fastdepth faster-r-cnn gan i3d inception-resnet-v2
  inception-v1 inception-v2 inception-v3 inception-v4 keywordspottingnet
  mask-r-cnn midas mobilebert-uncased-l-24-h-128-b-512-a-4-f-4-opt mobilenet
  mobilenet-v1 mobilenet-v2 mobilenet-v3 movinet multiband-melgan multiple
  nasnet-a-large nasnet-a-mobile nnlm other pnasnet-5-large progressive-gan
  regnety reqa resnet resnet-152 resnet-cifar resnet-v1-101 resnet-v1-152
  resnet-v1-200 resnet-v1-50 resnet-v2-101 resnet-v2-152 resnet-v2-50
  resnet101-v2 resnet101x3-v2 resnet152x4-v2 resnet19 resnet50-v2
  resnet50x3-v2 retinanet rnn s3d s3d-g silero-stt ssd ssd-mobilenet-v1
  ssd-mobilenet-v2 swivel tacotron2 transformer transformer-xl tsm-resnet50
  tsm-resnet50x2 tvn-1 tvn-2 tvn-3 tvn-mobile-1 ulmfit unet vae vgg-style
  videoflow wae wav2vec2 wide-resnet-40-8 word2vec-skip-gram wrn-106 yolo-v5
  bit swin-transformer vit
  """.split()
)

# ISO 639-1.
LANGUAGES = tuple(
  """
  aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch
  co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga
  gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja
  jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv
  mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or
  os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr
  ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi
  vo wa wo xh yi yo za zh zu
  """.split()
)

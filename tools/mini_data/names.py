"""Names that replace those of the sources, and how a name is used in a sentence.

One line a concept: `id | English | Chinese | use`. An empty field keeps the source's own name. The
sources' Chinese names of faces are often interjections; here they say what the picture shows, so
that both languages mean the same thing. `use`: `-` no article (a mass or a plural), `the` a unique thing.
"""

TABLE = """
1f600||咧嘴笑的脸|
1f603||睁大眼睛笑的脸|
1f604||眯着眼睛大笑的脸|
1f601||露齿笑的脸|
1f606||紧闭双眼大笑的脸|
1f605||流汗的笑脸|
1f923|face rolling on the floor laughing|笑得打滚的脸|
1f602||笑哭的脸|
1f642||微微笑的脸|
1f643||倒过来的脸|
1fae0||融化的脸|
1f609||眨眼的脸|
1f60a||眯眼微笑的脸|
1f607||头顶光环的笑脸|
1f970||带爱心的笑脸|
1f60d||爱心眼的笑脸|
1f929|star-eyed face|星星眼的脸|
1f618||飞吻的脸|
1f617||亲吻的脸|
263a||微笑的脸|
1f61a||闭眼亲吻的脸|
1f619||微笑亲吻的脸|
1f972||含泪的笑脸|
1f60b||舔嘴的笑脸|
1f61b||吐舌头的脸|
1f61c||眨眼吐舌头的脸|
1f92a||滑稽的脸|
1f61d||眯眼吐舌头的脸|
1f911||金钱嘴的脸|
1f917|hugging face|拥抱的笑脸|
1f92d||用手捂嘴的脸|
1fae2||睁眼捂嘴的脸|
1fae3||从指缝偷看的脸|
1f92b||嘘声的脸|
1f914||思考的脸|
1fae1||敬礼的脸|
1f910||拉链嘴的脸|
1f928||挑眉的脸|
1f610||面无表情的脸|
1f611||眯眼无语的脸|
1f636||没有嘴巴的脸|
1fae5||虚线轮廓的脸|
1f636-200d-1f32b||云雾中的脸|
1f60f||坏笑的脸|
1f612||不高兴的脸|
1f644||翻白眼的脸|
1f62c||龇牙的脸|
1f62e-200d-1f4a8||呼气的脸|
1f925|lying face with a long nose|长鼻子说谎的脸|
1fae8||颤抖的脸|
1f60c||松了口气的脸|
1f614||沉思的脸|
1f62a||犯困的脸|
1f924||流口水的脸|
1f634||睡着的脸|
1f637||戴口罩的脸|
1f912||含体温计的脸|
1f915||头缠绷带的脸|
1f922||恶心的绿脸|
1f92e||呕吐的脸|
1f927||打喷嚏的脸|
1f975|hot red face|发热的红脸|
1f976|cold blue face|冻僵的蓝脸|
1f974||头昏眼花的脸|
1f635||叉叉眼的脸|
1f635-200d-1f4ab||螺旋眼的脸|
1f92f||爆炸的头|
1f920|face with a cowboy hat|戴牛仔帽的脸|
1f973|partying face with a party hat|戴派对帽的脸|
1f978||戴假鼻子眼镜的脸|
1f60e||戴墨镜的笑脸|
1f913|nerd face with glasses|戴眼镜的书呆子脸|
1f9d0||戴单片眼镜的脸|
1f615||困惑的脸|
1fae4||歪嘴的脸|
1f61f||担心的脸|
1f641||微微皱眉的脸|
2639||皱眉的脸|
1f62e||张嘴的脸|
1f62f||惊呆的脸|
1f632||震惊的脸|
1f633||害羞脸红的脸|
1f97a||恳求的脸|
1f979||忍住泪水的脸|
1f626||皱眉张嘴的脸|
1f627||痛苦张嘴的脸|
1f628||害怕的脸|
1f630||冒冷汗的脸|
1f625||失望流汗的脸|
1f622||流泪的脸|
1f62d||放声大哭的脸|
1f631||惊恐尖叫的脸|
1f616||苦恼的脸|
1f623||咬牙忍耐的脸|
1f61e||失望的脸|
1f613||垂头流汗的脸|
1f629||疲惫的脸|
1f62b||累坏的脸|
1f971||打哈欠的脸|
1f624||鼻孔喷气的脸|
1f621||愤怒的红脸|
1f620||生气的脸|
1f92c|swearing face with symbols on mouth|嘴上有符号的骂人脸|
1f608|smiling purple devil|微笑的紫色恶魔|
1f47f|angry purple devil|生气的紫色恶魔|
1f480||骷髅头|
2620|skull and crossbones|交叉骨骷髅头|
1f4a9|smiling pile of poo|微笑的便便|
1f479|red ogre|红色食人魔|
1f47a|red goblin with a long nose|长鼻子红色天狗|
1f47b||幽灵|
1f47e|purple alien monster|紫色像素外星怪物|
1f63a||咧嘴笑的猫|
1f638||眯眼笑的猫|
1f639||笑哭的猫|
1f63b||爱心眼的猫|
1f63c||坏笑的猫|
1f63d||亲吻的猫|
1f640||受惊的猫|
1f63f||哭泣的猫|
1f63e||生气的猫|
1f648|monkey covering its eyes|捂眼睛的猴子|
1f649|monkey covering its ears|捂耳朵的猴子|
1f64a|monkey covering its mouth|捂嘴的猴子|
1f48c||带爱心的情书|
1f498||被箭射中的心|
1f49d||系丝带的心|
1f496||闪亮的心|
1f497||变大的心|
1f493||跳动的心|
1f49e||旋转的心|-
1f495||两颗心|-
1f494||破碎的心|
2764-200d-1f525||着火的心|
2764-200d-1fa79|bandaged heart|缠绷带的心|
2764||红色的心|
1fa77||粉色的心|
1f9e1||橙色的心|
1f49b||黄色的心|
1f49a||绿色的心|
1f499||蓝色的心|
1fa75||浅蓝色的心|
1f49c||紫色的心|
1f90e||棕色的心|
1f5a4||黑色的心|
1fa76||灰色的心|
1f90d||白色的心|
1f48b|lipstick kiss mark|口红唇印|
1f4a5|explosion|爆炸|
1f4a6|water splashes|飞溅的水滴|-
1f573|black hole in the ground|地上的黑洞|
1f4ac||对话气泡|
1f4ad||思想气泡|
1f44b||挥动的手|
1f44c||比OK手势的手|
270c|hand making a victory sign|比胜利手势的手|
1f91e|hand with crossed fingers|交叉手指的手|
1f918|hand making the horns|摇滚手势的手|
261d|hand with the index finger pointing up|食指向上的手|
1f44d|thumbs up|竖起大拇指的手|-
1f44e|thumbs down|大拇指向下的手|-
270a||握紧的拳头|
1f44f|clapping hands|鼓掌的双手|-
1faf6|hands making a heart|比爱心的双手|-
1f450|open hands|张开的双手|-
1f91d||握手|
1f64f|folded hands|合十的双手|-
270d|hand writing with a pen|拿笔写字的手|
1f485|hand with nail polish|涂指甲油的手|
1f4aa|arm flexing its biceps|秀肌肉的手臂|
1f9be|robot arm|机械手臂|
1f9bf|robot leg|机械腿|
1f9e0||大脑|
1fac0|human heart organ|心脏|
1fac1||肺|-
1f440||一双眼睛|-
1f445||舌头|
1f444||嘴巴|
1f476||婴儿|
1f474||老爷爷|
1f475||老奶奶|
1f47c|baby angel|小天使|
1f385|santa claus|圣诞老人|-
1f936|mrs. claus|圣诞奶奶|-
1f9d9|wizard|巫师|
1f9da|fairy with wings|有翅膀的仙子|
1f9dc-200d-2640||美人鱼|
1f9de|genie|神灯精灵|
1f9cc|troll|巨怪|
1f934||王子|
1f478||公主|
1f46e||警察|
1f482|royal guard|皇家卫兵|
1f9d1-200d-1f373|cook|厨师|
1f483|woman dancing in a red dress|跳舞的红裙女人|
1f57a|man dancing|跳舞的男人|
1f93a|fencer|击剑选手|
1f3c7|jockey riding a horse|骑马的赛马选手|
26f7|skier|滑雪的人|
1f3c2|snowboarder|单板滑雪的人|
1f3c4|surfer|冲浪的人|
1f3ca|swimmer|游泳的人|
1f6b4|cyclist|骑自行车的人|
1f3cb|weightlifter|举重的人|
1f938|person doing a cartwheel|侧手翻的人|
1f939|juggler|杂耍抛球的人|
1f9d8|person meditating|打坐冥想的人|
1f6c0|person taking a bath|泡澡的人|
1f9d7|rock climber|攀岩的人|
1f463||脚印|-
1f435||猴子的脸|
1f436||狗的脸|
1f431||猫的脸|
1f981|lion face|狮子的脸|
1f42f||老虎的脸|
1f434||马的脸|
1f42e||奶牛的脸|
1f437||猪的脸|
1f42d||老鼠的脸|
1f439|hamster face|仓鼠的脸|
1f430||兔子的脸|
1f43b|bear face|熊的脸|
1f43b-200d-2744|polar bear face|北极熊的脸|
1f428|koala face|考拉的脸|
1f43c|panda face|熊猫的脸|
1f43a|wolf face|狼的脸|
1f98a|fox face|狐狸的脸|
1f99d||浣熊的脸|
1f984|unicorn face|独角兽的脸|
1f438|frog face|青蛙的脸|
1f432||龙的脸|
1f402|ox|公牛|
1f404|dairy cow|奶牛|
1f9ac||野牛|
1f417||野猪|
1f411|sheep|绵羊|
1f42a||单峰骆驼|
1f999||美洲驼|
1f9a3||猛犸象|
1f400||大老鼠|
1f401||小白鼠|
1f43e||爪印|-
1f983||火鸡|
1f414||母鸡的脸|
1f423|chick hatching from an egg|破壳而出的小鸡|
1f424|baby chick face|小鸡的脸|
1f425|baby chick|小鸡|
1f426||小鸟|
1f54a|white dove|白鸽|
1f426-200d-2b1b||黑鸟|
1f426-200d-1f525|phoenix|凤凰|
1f422||乌龟|
1f995|long-necked dinosaur|长颈恐龙|
1f996|t-rex dinosaur|霸王龙|
1f433||喷水的鲸鱼|
1f420||热带鱼|
1f421|pufferfish|河豚|
1f41a||海螺壳|
1fab8||珊瑚|
1f980||螃蟹|
1f991||鱿鱼|
1f9aa||牡蛎|
1f41b|caterpillar|毛毛虫|
1f41e|ladybug|瓢虫|
1fab1||蚯蚓|
1f9a0|green microbe|绿色细菌|
1f490|bouquet of flowers|一束鲜花|
1fab7|lotus flower|莲花|
1f3f5||圆形花饰|
1f339|red rose|红玫瑰|
1f33a|hibiscus flower|木槿花|
1f33c|yellow flower|黄色小花|
1f332||松树|
1f33e||稻穗|
1f33f||香草叶|
1f341||枫叶|
1f342|fallen leaves|秋天的落叶|-
1f343|green leaves in the wind|风中的绿叶|-
1fab9||空鸟巢|
1faba||有蛋的鸟巢|
1f344|red mushroom|红蘑菇|
1f347||葡萄|-
1f348||哈密瓜|
1f349|slice of watermelon|西瓜片|
1f350|green pear|绿色的梨|
1f351|peach|桃子|
1f352||樱桃|-
1fad0||蓝莓|-
1f95d||猕猴桃|
1f345||西红柿|
1fad2||橄榄|
1f951||牛油果|
1f33d||玉米|
1f336|red chili pepper|红辣椒|
1fad1||甜椒|
1f96c|leafy green vegetable|绿叶蔬菜|
1f966||西兰花|-
1f9c4||大蒜|-
1f95c||花生|-
1fad8||豆子|-
1fada||生姜|
1f344-200d-1f7eb||棕色蘑菇|
1f35e|loaf of bread|面包|
1f950||可颂面包|
1f956|baguette|法棍面包|
1fad3||烤饼|
1f968||椒盐卷饼|
1f96f||贝果面包圈|
1f95e||松饼|-
1f9c0|wedge of cheese|奶酪|
1f356|meat on the bone|带骨肉|-
1f357|chicken leg|鸡腿|
1f969|raw steak|生牛排|
1f953||培根|-
1f35f||薯条|-
1f355|slice of pizza|披萨|
1f32e||墨西哥塔可|
1f32f||墨西哥卷饼|
1fad4||玉米粽子|
1f959|pita sandwich|皮塔饼|
1f9c6||炸豆丸子|-
1f95a||鸡蛋|
1f373|fried egg in a pan|平底锅里的煎蛋|
1f958|pan of paella|一锅海鲜饭|
1f372|pot of stew|一锅炖菜|
1fad5|fondue pot|奶酪火锅|
1f963||碗和勺子|
1f957|green salad|蔬菜沙拉|
1f37f||爆米花|-
1f9c8||黄油|-
1f9c2|salt shaker|盐瓶|
1f96b|can of food|罐头|
1f371|bento box|便当盒|
1f358||米饼|
1f35a|bowl of rice|一碗米饭|
1f35b||咖喱饭|-
1f35c|bowl of noodles|一碗面条|
1f35d|plate of spaghetti|意大利面|
1f360||烤红薯|
1f362|oden skewer|关东煮串|
1f363||寿司|-
1f364||炸虾|
1f365||鱼板|
1f361|dango skewer|三色团子|
1f366|ice cream cone|甜筒冰淇淋|
1f367|bowl of shaved ice|刨冰|
1f368|bowl of ice cream|一碗冰淇淋|
1f370|slice of strawberry cake|草莓蛋糕|
1f967|slice of pie|馅饼|
1f36b||巧克力棒|
1f36c|wrapped candy|糖果|
1f36e|custard pudding|焦糖布丁|
1f36f||蜂蜜罐|
1f95b||一杯牛奶|
2615|cup of coffee|一杯咖啡|
1fad6||茶壶|
1f375|cup of green tea|一杯绿茶|
1f376|sake bottle and cup|清酒瓶和酒杯|
1f37e|champagne bottle|香槟酒瓶|
1f377|glass of red wine|一杯红酒|
1f378||鸡尾酒|
1f379||热带饮料|
1f37a|mug of beer|一杯啤酒|
1f37b||碰杯的啤酒杯|-
1f942||碰杯的香槟杯|-
1f943|glass of whiskey|一杯威士忌|
1fad7|glass of pouring liquid|倾倒的一杯水|
1f964||带吸管的杯子|
1f9c3|juice box|盒装果汁|
1f9c9|mate drink|马黛茶|
1f9ca|ice cube|冰块|
1f962||筷子|-
1f37d||刀叉和盘子|-
1f374||刀叉|-
1f944||勺子|
1f52a||菜刀|
1fad9|glass jar|玻璃罐|
1f3fa|clay amphora|陶土双耳瓶|
1f30d|globe showing europe and africa|显示欧洲和非洲的地球|
1f30e|globe showing the americas|显示美洲的地球|
1f30f|globe showing asia and australia|显示亚洲和澳洲的地球|
1f310|blue globe with grid lines|带经纬线的地球|
1f5fb|mount fuji|富士山|-
1f5fe|map of japan|日本地图|
1f3d5|campsite|露营地|
1f3d6||有遮阳伞的沙滩|
1f3dd||荒岛|
1f3de|national park landscape|国家公园风景|
1f3df||体育场|
1f3db||古希腊神庙建筑|
1f3d7|building under construction|施工中的建筑|
1f9f1|brick wall|砖墙|
1fab5|wooden log|木头|
1f6d6||茅草屋|
1f3d8||几座房子|-
1f3da||破旧的房子|
1f3e1||带花园的房子|
1f3ec||百货商场|
1f3ef||日本城堡|
1f3f0||欧洲城堡|
1f492|wedding chapel|婚礼教堂|
1f5fc|tokyo tower|东京塔|-
1f5fd|statue of liberty|自由女神像|the
1f6d5||印度教寺庙|
26e9||神社鸟居|
1f54b|kaaba|克尔白|the
1f301|foggy city|雾中的城市|
1f303|city at night with stars|星空下的城市夜景|
1f3d9||城市风光|
1f304|sunrise over mountains|山间日出|
1f305|sunrise over the sea|海上日出|
1f306|city at dusk|黄昏的城市|
1f307|sunset over a city|城市日落|
1f309||夜晚的大桥|
1f3a0||旋转木马|
1f6dd||游乐场滑梯|
1f488|barber pole|理发店旋转灯|
1f3aa||马戏团帐篷|
1f682|steam locomotive|蒸汽火车头|
1f683||火车车厢|
1f684||高速列车|
1f685|bullet train|子弹头列车|
1f688||轻轨列车|
1f689|train station|火车站|
1f68a|front of a tram|电车正面|
1f69d||单轨列车|
1f69e||山区火车|
1f68b||有轨电车|
1f68d|front of a bus|公交车正面|
1f690|minivan|面包车|
1f692|red fire engine|红色消防车|
1f694|front of a police car|警车正面|
1f695|yellow taxi|黄色出租车|
1f696|front of a taxi|出租车正面|
1f697|red car|红色汽车|
1f698|front of a car|汽车正面|
1f699|blue off-road car|蓝色越野车|
1f6fb||皮卡车|
1f69b|semi truck|半挂卡车|
1f3ce||赛车|
1f6f5||踏板摩托车|
1f6fa||机动三轮车|
1f6fc||轮滑鞋|
1f6e3||高速公路|
1f6e4||铁轨|
1f6e2||油桶|
26fd|fuel pump|加油机|
1f6a8|police siren light|警灯|
1f6a5||横向的红绿灯|
1f6a6||竖向的红绿灯|
1f6d1|red stop sign|红色停车标志|
1f6a7|construction barrier|施工路障|
1f6df||救生圈|
1f6f3||邮轮|
1f6e5||摩托艇|
1f6a2||大轮船|
2708||飞机|
1f6eb|airplane taking off|起飞的飞机|
1f6ec|airplane landing|降落的飞机|
1f4ba|airplane seat|飞机座椅|
1f69f||悬挂式列车|
1f6a0|cable car|缆车|
1f6a1||空中索道缆车|
1f6f0||人造卫星|
1f6f8|flying saucer|飞碟|
1f6ce||服务铃|
231b|hourglass|沙漏|
23f3|hourglass with flowing sand|流沙中的沙漏|
231a|wristwatch|手表|
23f2||计时器|
1f552|wall clock|挂钟|
1f311|new moon|新月时的黑色月亮|
1f315||满月|
1f319||弯弯的月牙|
1f31b|crescent moon with a face|带脸的月牙|
1f31d|full moon with a face|带脸的满月|
1f31e|sun with a face|带脸的太阳|
2600|sun|太阳|the
1fa90||带光环的行星|
2b50|yellow star|黄色星星|
1f31f||闪亮的星星|
1f30c|milky way in a night sky|夜空中的银河|the
2601|cloud|白云|
26c5||云后面的太阳|the
26c8|storm cloud with lightning and rain|雷雨云|
1f324||小云后面的太阳|the
1f326||雨云后面的太阳|the
1f327|cloud with rain|下雨的云|
1f328|cloud with snow|下雪的云|
1f329|cloud with lightning|打雷的云|
1f32b|fog cloud|雾|
1f32c|face blowing wind|吹风的脸|
1f300|spiral cyclone|螺旋形台风|
2602|open umbrella|打开的伞|
2614|umbrella in the rain|雨中的伞|
26f1|beach umbrella|沙滩遮阳伞|
26a1|lightning bolt|黄色闪电|
2603|snowman in falling snow|雪中的雪人|
26c4|snowman|雪人|
2604|comet|彗星|
1f525||火焰|-
1f4a7|drop of water|水滴|
1f30a|ocean wave|海浪|
1f383|halloween pumpkin lantern|万圣节南瓜灯|
1f384|christmas tree|圣诞树|
1f386||夜空中的烟花|-
1f387|sparkler|仙女棒烟花|
1f9e8|red firecracker|红色鞭炮|
2728||闪光的星星|-
1f388|red balloon|红气球|
1f389||派对彩炮|
1f38a||彩纸球|
1f38b||七夕竹子|
1f38e||日本人偶|-
1f391|moon viewing scene with grass|中秋赏月|
1f380|ribbon bow|蝴蝶结|
1f381||包装好的礼物|
1f397||纪念丝带|
1f39f||入场券|-
1f396||军功章|
1f947|gold medal|金牌|
1f948|silver medal|银牌|
1f949|bronze medal|铜牌|
1f3c8||美式橄榄球|
1f3be|tennis racket and ball|网球拍和网球|
1f3b3|bowling ball and pins|保龄球和球瓶|
1f3cf|cricket bat and ball|板球棒和球|
1f3d1|field hockey stick and ball|曲棍球棍和球|
1f3d2|ice hockey stick and puck|冰球棍和冰球|
1f94d|lacrosse stick and ball|长曲棍球杆和球|
1f3d3|ping pong paddle and ball|乒乓球拍和球|
1f3f8|badminton racket and shuttlecock|羽毛球拍和羽毛球|
1f94b||武术道服|
1f945|goal net|球门网|
26f3|golf hole with a flag|插旗的高尔夫球洞|
26f8|ice skate|溜冰鞋|
1f3a3|fishing pole with a fish|钓到鱼的钓鱼竿|
1f93f|diving mask with snorkel|潜水面镜和呼吸管|
1f3bd|running shirt|运动背心|
1f3bf||滑雪板|-
1f3af|bullseye target with a dart|插着飞镖的靶子|
1f52b||水枪|
1f3b1|black pool ball|黑色台球|
1f3ae|game controller|游戏手柄|
1f579||游戏摇杆|
1f3b2|game die|骰子|
1f9e9||拼图块|
1fa85|pinata|皮纳塔彩罐|
1fa86||俄罗斯套娃|-
1fa84||魔法棒|
1fa9e|hand mirror|镜子|
1faa9|disco ball|迪斯科球|
265f|black chess pawn|黑色国际象棋兵|
1f0cf|joker playing card|小丑扑克牌|
1f004|red dragon mahjong tile|红中麻将牌|
1f3b4|flower playing card|花札纸牌|
1f3ad|comedy and tragedy masks|喜剧和悲剧面具|-
1f5bc|framed picture|带框的画|
1f9f5|spool of thread|线轴|
1faa1||缝衣针|
1f9f6|ball of yarn|毛线球|
1faa2|rope knot|绳结|
1f453||眼镜|-
1f576||墨镜|-
1f97d||护目镜|-
1f97c|white lab coat|白大褂|
1f9ba|orange safety vest|安全背心|
1f455||T恤衫|
1f456||牛仔裤|-
1f9e4||手套|-
1f9e6||袜子|-
1fa72||三角内裤|-
1fa73||短裤|-
1f45a|woman's blouse|女式上衣|
1f45b||小钱包|
1f45d||手拿包|
1f6cd||购物袋|-
1fa74|flip-flop sandal|人字拖|
1f45e|man's brown shoe|棕色男鞋|
1f45f||运动鞋|
1f461|woman's sandal|女式凉鞋|
1fa70||芭蕾舞鞋|-
1f462|woman's boot|女式长靴|
1faae|hair comb|梳子|
1f452|woman's hat|女式草帽|
1f393||学士帽|
1f9e2|baseball cap|棒球帽|
26d1|rescue helmet with a cross|带十字的救援头盔|
1f4ff||念珠|-
1f484||口红|
1f48d|diamond ring|钻石戒指|
1f48e|blue diamond gem|蓝色钻石|
1f50a|speaker|扬声器|
1f4e2||大喇叭|
1f4e3||扩音喇叭|
1f4ef||邮政号角|
1f514|golden bell|金色铃铛|
1f3b6||几个音符|-
1f399|studio microphone|录音室麦克风|
1f39a||推子滑块|
1f39b||控制旋钮|-
1f3a7|headphones|头戴式耳机|-
1fa97||手风琴|
1f3b9|piano keyboard|钢琴键盘|
1fa98||长鼓|
1fa87||沙锤|-
1f4f1||手机|
260e|red telephone|红色电话机|
1f4de||电话听筒|
1f4df||寻呼机|
1f50b||电池|
1f50c||电源插头|
1f5a5||台式电脑|
1f5b1||电脑鼠标|
1f4bd|minidisc|迷你光盘|
1f4be||软盘|
1f4c0||DVD光盘|
1f9ee||算盘|
1f39e|film strip|电影胶片|
1f4fa|old television|老式电视机|
1f50d|magnifying glass|放大镜|
1f4f8|camera with a flash|闪光的相机|
1f3ee|red paper lantern|红灯笼|
1fa94||油灯|
1f4d4|notebook with decorative cover|精装笔记本|
1f4d5|closed red book|合上的红色书|
1f4d6|open book|打开的书|
1f4d7|green book|绿色的书|
1f4d8|blue book|蓝色的书|
1f4d9|orange book|橙色的书|
1f4da|stack of books|一摞书|
1f4d2|yellow ledger|黄色账本|
1f4dc||羊皮纸卷轴|
1f4c4|sheet of paper|一页文件|
1f5de||卷起的报纸|
1f4d1|page with bookmark tabs|带标签的页面|
1f3f7|price tag|标签吊牌|
1fa99|gold coin|金币|
1f4b4||日元钞票|
1f4b5||美元钞票|
1f4b6||欧元钞票|
1f4b7||英镑钞票|
1f4b8|banknotes with wings|长翅膀的钞票|-
2709|white envelope|白色信封|
1f4e6|cardboard box|纸箱|
1f4eb|mailbox|邮箱|
1f4ee|red postbox|红色邮筒|
1f5f3||投票箱|
1f58b||钢笔|
1f58a|ballpoint pen|圆珠笔|
1f4dd|memo with a pencil|铅笔和便笺|
1f4c1|yellow file folder|文件夹|
1f4c2|open file folder|打开的文件夹|
1f5d2||线圈笔记本|
1f4c7||名片卡盒|
1f4c8|rising line chart|上升的折线图|
1f4c9|falling line chart|下降的折线图|
1f4ca|bar chart|柱状图|
1f4cd||圆头图钉|
1f5d1|trash can|垃圾桶|
1f512|closed padlock|锁上的挂锁|
1f513|open padlock|打开的挂锁|
1f510|padlock with a key|挂锁和钥匙|
1f511|golden key|金色钥匙|
1f5dd|old key|老式钥匙|
2692||锤子和镐|-
1f6e0||锤子和扳手|-
2694||交叉的双剑|-
1f3f9||弓和箭|
1f6e1||盾牌|
1fa9a||手锯|
1f529||螺母和螺栓|
1f5dc|clamp|夹钳|
1f517||链环|-
26d3||铁链|-
1fa9d|metal hook|金属钩子|
1f9f2|horseshoe magnet|马蹄形磁铁|
1fa8f||铲子|
2697||蒸馏器|
1f9ec|dna double helix|DNA双螺旋|
1f4e1|satellite dish|卫星天线|
1fa78|drop of blood|血滴|
1f48a||胶囊药丸|
1fa79|bandage|创可贴|
1fa7b|x-ray picture|X光片|
1f6cb||沙发和落地灯|
1faa0||马桶搋|
1f6bf|shower head|淋浴喷头|
1f6c1||浴缸|
1faa4|mouse trap with cheese|捕鼠夹|
1f9f4|bottle of lotion|乳液瓶|
1f9f7||安全别针|
1f9fa|woven basket|篮子|
1f9fb|roll of toilet paper|卷纸|
1f9fc|bar of soap|肥皂|
1fae7||气泡|-
1f6ac||香烟|
26b1||骨灰坛|
1f9ff|blue evil eye amulet|蓝色恶魔之眼护身符|
1faac|hamsa hand|法蒂玛之手|
1f5ff|moai statue|摩艾石像|
1faa7|placard on a stick|标语牌|
1faaa|identification card|身份证|
26ab||黑色圆|
26aa||白色圆|
"""


def load() -> dict[str, tuple[str, str, str]]:
    """Concept id -> (English or "", Chinese or "", use)."""
    table = {}
    for line in TABLE.strip().splitlines():
        concept_id, english, chinese, use = line.split("|")
        if concept_id in table:
            raise SystemExit(f"names.py: {concept_id} appears twice")
        table[concept_id] = (english, chinese, use)
    return table
